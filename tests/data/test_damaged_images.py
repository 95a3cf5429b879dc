"""Damaged images of every format: refused, or decoded to the same pixels whatever lies in the memory."""

import io
import os
import random
import re
import struct
import zlib

import mxnet as mx
import numpy as np
import PIL.Image
import pytest

from a2net_gluon.data import Preprocessing
from a2net_gluon.data.decoding import DecodeError, decode
from tests.helpers.encoded import IMAGES, PHOTO, encoded


def damaged(content, count=30):
    """Cut and mutated copies, the same in every run."""
    numbers = random.Random(0)
    for number in range(count):
        if number % 2:
            yield content[: numbers.randrange(1, len(content))]
        else:
            changed = bytearray(content)
            for _ in range(numbers.choice([1, 2, 5])):
                changed[numbers.randrange(len(changed))] = numbers.randrange(256)
            yield bytes(changed)


def poison(value):
    """Fill memory of the sizes that a decoder allocates, and give it back."""
    arrays = [mx.nd.full((70, 90, 3), value, dtype="uint8") for _ in range(8)]
    mx.nd.waitall()
    del arrays


def attempt(content, value):
    poison(value)
    try:
        return decode(content)
    except DecodeError:
        return None


@pytest.mark.parametrize("kind", IMAGES)
def test_damaged_bytes_decode_to_the_same_pixels_or_not_at_all(kind):
    refused = 0
    assert attempt(IMAGES[kind][: len(IMAGES[kind]) * 9 // 10], 0) is None
    for content in damaged(IMAGES[kind]):
        first, second = (attempt(content, value) for value in (1, 254))
        assert (first is None) == (second is None)
        if first is None:
            refused += 1
        else:
            np.testing.assert_array_equal(first, second)
    assert refused >= 15  # at least those that were cut


@pytest.mark.parametrize("kind", IMAGES)
def test_whole_images_are_what_mxnet_makes_of_them(kind):
    if kind in ("ppm", "pgm", "tiff-jpeg", "webp"):  # MXNet's OpenCV does not read them
        expected = np.asarray(PIL.Image.open(io.BytesIO(IMAGES[kind])).convert("RGB"))
        assert np.abs(decode(IMAGES[kind]).astype(int) - expected).max() <= 4  # other decoders of JPEG and WebP
    else:
        np.testing.assert_array_equal(decode(IMAGES[kind]), mx.image.imdecode(IMAGES[kind]).asnumpy())


def png(width, height, pixels=b""):
    """A PNG that declares this size."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(pixels)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


def with_large_chunk(content):
    """A PNG with a chunk of text that declares four gigabytes."""
    place = content.index(b"IDAT") - 4
    return content[:place] + struct.pack(">I", 2**32 - 2**24) + b"tEXt" + content[place:]


def large_jpeg(width=60_000, height=50_000):
    """A small JPEG that declares this size, with the orientation in EXIF."""
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    content = bytearray(encoded(PHOTO, "JPEG", exif=exif))
    struct.pack_into(">HH", content, content.index(b"\xff\xc0") + 5, height, width)
    return bytes(content)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (png(0, 10), "not an image OpenCV can decode"),
        (png(10, 0), "not an image OpenCV can decode"),
        (png(0, 0), "not an image OpenCV can decode"),
        (png(10, 10)[:20], "truncated PNG"),
        (png(10, 10)[:33], "not an image OpenCV can decode"),
        (png(100_000, 100_000), "declares 100000×100000 pixels, more than 178,956,970 (OPENCV_IO_MAX_IMAGE_PIXELS"),
        (png(2**31 - 1, 2**31 - 1), "declares 2147483647×2147483647 pixels, more than 178,956,970"),
        (with_large_chunk(IMAGES["png"]), "truncated PNG"),
        (large_jpeg(), "declares 60000×50000 pixels, more than 178,956,970"),
    ],
    ids=[
        "no width",
        "no height",
        "no size",
        "lost size",
        "no pixels",
        "large png",
        "largest png",
        "large chunk",
        "large jpeg",
    ],
)
def test_sizes_that_no_image_has(content, reason, capfd):
    with pytest.raises(DecodeError, match=re.escape(reason)):
        decode(content)
    assert capfd.readouterr() == ("", "")  # OpenCV and libpng print by themselves


def test_pillows_own_limit_does_not_matter(monkeypatch, recwarn):
    """It warned from 89 megapixels on, and raised from 179 on, where it only looks for the orientation."""
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    content = encoded(PHOTO, "JPEG", exif=exif)
    for limit in (5_000, 100):
        monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", limit)
        assert decode(content).shape == (90, 70, 3)
    assert not recwarn.list


def test_damaged_metadata_say_nothing(capfd, recwarn):
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    content = encoded(PHOTO, "JPEG", exif=exif)
    place = content.index(b"Exif\0\0") + 6
    for cut in range(2, 20):
        decode(content[: place + cut] + bytes([255, 255]) + content[place + cut + 2 :])
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("kind", IMAGES)
def test_decoders_print_nothing(kind, capfd):
    for content in damaged(IMAGES[kind], 20):
        attempt(content, 0)
    attempt(IMAGES[kind].replace(b"\xff\xd9", b"extraneous\xff\xd9"), 0)
    assert capfd.readouterr() == ("", "")
    os.write(2, b"others are heard")
    assert capfd.readouterr().err == "others are heard"


def test_a_jpeg_that_is_cut_behind_its_preview_is_refused():
    preview = encoded(PHOTO.resize((20, 16)), "JPEG")
    content = IMAGES["jpeg"]
    with_preview = content[:2] + b"\xff\xe2" + struct.pack(">H", 2 + len(preview)) + preview + content[2:]
    np.testing.assert_array_equal(decode(with_preview), decode(content))
    for part in (0.6, 0.9):
        with pytest.raises(DecodeError, match="truncated JPEG"):
            decode(with_preview[: len(preview) + int(part * len(content))])


def test_a_line_of_pixels_is_not_resized_to_gigabytes():
    line = np.zeros((1, 60_000, 3), np.uint8)
    with pytest.raises(DecodeError, match="60000×1 pixels are too oblong to resize to 256"):
        Preprocessing(224).centre_crop(line)
    assert Preprocessing(8, 1.0).centre_crop(line).shape == (8, 8, 3)
