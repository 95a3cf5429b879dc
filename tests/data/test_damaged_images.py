"""Damaged images of every format: refused, or decoded to the same pixels whatever lies in the memory."""

import io
import random

import cv2
import mxnet as mx
import numpy as np
import PIL.Image
import pytest

from a2net_gluon.data.decoding import DecodeError, decode
from tests.helpers.processes import ROOT

PHOTO = PIL.Image.open(ROOT / "docs" / "cat.jpg").convert("RGB").resize((90, 70))


def encoded(picture, kind, **options):
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def half_the_lines_of_colour():
    """A JPEG with 4:4:0 sampling, which MXNet has to decode: that of a 4:2:2 photograph turned without loss."""
    content = cv2.imencode(".jpg", np.asarray(PHOTO), [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, 0x121111])[1].tobytes()
    assert b"\x12\x00\x02\x11" in content  # the sampling factors of the frame
    return content


IMAGES = {
    "jpeg": encoded(PHOTO, "JPEG"),
    "jpeg-440": half_the_lines_of_colour(),
    "jpeg-cmyk": encoded(PHOTO.convert("CMYK"), "JPEG"),
    "png": encoded(PHOTO, "PNG"),
    "png-palette": encoded(PHOTO.convert("P"), "PNG"),
    "png-grey": encoded(PHOTO.convert("L"), "PNG"),
    "png-alpha": encoded(PHOTO.convert("RGBA"), "PNG"),
    "png-bits": encoded(PHOTO.convert("1"), "PNG"),
    "bmp": encoded(PHOTO, "BMP"),
    "tiff": encoded(PHOTO, "TIFF", compression="tiff_lzw"),
    "ppm": encoded(PHOTO, "PPM"),
}


def damaged(content, count=60):
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
    for content in damaged(IMAGES[kind]):
        first, second = (attempt(content, value) for value in (1, 254))
        assert (first is None) == (second is None)
        if first is None:
            refused += 1
        else:
            np.testing.assert_array_equal(first, second)
    assert refused >= 30  # at least those that were cut


@pytest.mark.parametrize("kind", IMAGES)
def test_whole_images_are_what_mxnet_makes_of_them(kind):
    if kind == "ppm":  # MXNet's OpenCV does not read it
        np.testing.assert_array_equal(decode(IMAGES[kind]), np.asarray(PHOTO))
    else:
        np.testing.assert_array_equal(decode(IMAGES[kind]), mx.image.imdecode(IMAGES[kind]).asnumpy())
