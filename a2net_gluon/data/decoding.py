"""Decoding of image files to RGB pixels.

opencv-python decodes, since it reports a damaged file. A folder and a .rec file of the same images give the same pixels
to the last bit, also with MXNet's C++ record iterator, whose OpenCV is its own: JPEGs of unusual sampling, of which the
two make other pixels, are decoded once more by MXNet.
"""

from __future__ import annotations

import contextlib
import io
import struct
import typing
import warnings

import cv2
import mxnet as mx
import numpy as np
import PIL.JpegImagePlugin
import PIL.TiffImagePlugin

from a2net_gluon.environment import IMAGE_LIMIT, largest_image
from a2net_gluon.terminal import libraries_silenced

__all__ = ["DecodeError", "decode", "is_jpeg", "plain_jpeg_size", "too_many_pixels"]

_CLOSE = 16  # grey levels that two decoders may differ by on average; they differ in the colours at edges
_PNG = b"\x89PNG\r\n\x1a\n"
_CHUNK = 12  # bytes of a PNG's chunk besides its content: length, kind, checksum


class DecodeError(Exception):
    """An image or a video that cannot be decoded; the message says why."""


def decode(content: bytes) -> np.ndarray:
    """Decode an encoded image to an RGB array (h, w, 3) of uint8, or raise `DecodeError`.

    Images of more pixels than `environment.largest_image` are refused. What the decoders print is dropped.
    """
    if not content:
        raise DecodeError("empty file")
    segments = dict(_jpeg_segments(content))
    # libjpeg fills the missing part of a truncated file with grey and only warns. A preview inside ends earlier.
    if is_jpeg(content) and content.rfind(b"\xff\xd9", segments.get(_SCAN, 0)) < 0:
        raise DecodeError("truncated JPEG")
    if content.startswith(_PNG) and _is_cut_png(content):
        raise DecodeError("truncated PNG")
    with libraries_silenced():
        if content[:4] in (b"II*\0", b"MM\0*") and _is_cut_tiff(content):  # libtiff fills what is missing with black
            raise DecodeError("truncated TIFF")
        image = _decode_with_opencv(content)
        if image is None or not image.size:
            raise DecodeError(_too_large(content, segments) or "not an image OpenCV can decode")
        if is_jpeg(content) and not _decodes_alike(content, segments):
            image = _decode_as_mxnet(content, image)
        turn = _TURNS.get(_orientation(content) or 1)
    return np.ascontiguousarray(turn(image)) if turn else image


def _decode_with_opencv(content: bytes) -> np.ndarray | None:
    try:
        return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error:  # larger than it allows
        return None


def _is_cut_png(content: bytes) -> bool:
    """Whether a PNG ends before one of its chunks does, for which OpenCV allocates up to 4 GB."""
    place, kind = len(_PNG), b""
    while kind != b"IEND" and place < len(content):
        kind = content[place + 4 : place + 8]
        place += _CHUNK + int.from_bytes(content[place : place + 4], "big")
    return place > len(content)


def _is_cut_tiff(content: bytes) -> bool:
    """Whether a TIFF ends before its tags, strips or tiles do."""
    file = io.BytesIO(content)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # Pillow's way to tell that tags are cut
        try:
            tags = PIL.TiffImagePlugin.ImageFileDirectory_v2(file.read(8))
            file.seek(tags.next)
            tags.load(file)
            pieces = [*zip(tags.get(273, ()), tags.get(279, ())), *zip(tags.get(324, ()), tags.get(325, ()))]
            return any(place + size > len(content) for place, size in pieces)
        except Exception:  # of many kinds
            return True


def _decode_as_mxnet(content: bytes, reference: np.ndarray) -> np.ndarray:
    """Decode with MXNet; raise `DecodeError` unless the pixels are close to those of opencv-python.

    MXNet 1.9.1 allocates an array of the size in the header. Where its OpenCV then fails, it reports no error and
    returns uninitialized memory.
    """
    try:
        image = mx.image.imdecode(content).asnumpy()
    except mx.MXNetError:
        raise DecodeError("not an image MXNet can decode") from None
    if image.shape != reference.shape or cv2.norm(image, reference, cv2.NORM_L1) > _CLOSE * image.size:
        raise DecodeError("damaged: OpenCV and MXNet make different pixels of it")
    return image


# Luma sampling factors (horizontal and vertical, one hexadecimal digit each) for which both libraries decode to equal
# pixels, if both chroma components have 1 and 1: 4:4:4, 4:2:2, 4:2:0 and 4:1:1. With chroma subsampled vertically only,
# as in a losslessly rotated 4:2:2 photograph, newer versions of libjpeg-turbo interpolate rows; the one in mxnet 1.9.1
# repeats them.
_ALIKE = (0x11, 0x21, 0x22, 0x41)


def _decodes_alike(content: bytes, segments: typing.Mapping[int, int]) -> bool:
    """Whether opencv-python and MXNet decode a JPEG to the same pixels."""
    place = _frame_of(segments)
    if place is None or place + 8 > len(content):
        return False
    count = content[place + 5]
    luma, *chroma = content[place + 7 : place + 7 + 3 * count : 3] or (0,)
    return count == 1 or (count == 3 and luma in _ALIKE and chroma == [0x11, 0x11])


def is_jpeg(content: bytes) -> bool:
    """Whether `content` begins as a JPEG does."""
    return content[:2] == b"\xff\xd8"


def plain_jpeg_size(content: bytes) -> tuple[int, int] | None:
    """Width and height of a JPEG that is upright, whole as far as its end tells, and decoded alike by all libraries.

    None for every other content, which `decode` decodes or refuses.
    """
    segments = dict(_jpeg_segments(content))
    frame = _frame_of(segments)
    if frame is None or not _decodes_alike(content, segments) or content.rfind(b"\xff\xd9", segments.get(_SCAN, 0)) < 0:
        return None
    height, width = struct.unpack_from(">HH", content, frame + 1)
    upright = (_orientation(content) or 1) == 1
    return (width, height) if upright and width and height and not too_many_pixels(width, height) else None


_SCAN = 0xDA  # marker of the first segment of compressed pixels
_FRAMES = (0xC0, 0xC1, 0xC2)  # of the size and the components: baseline, extended, progressive


def _jpeg_segments(content: bytes) -> typing.Iterator[tuple[int, int]]:
    """The markers of a JPEG up to its first scan, each with the place of what follows its length."""
    place = 2 if is_jpeg(content) else len(content)
    while place + 4 <= len(content) and content[place] == 0xFF:
        yield content[place + 1], place + 4
        if content[place + 1] == _SCAN:
            return
        place += 2 + int.from_bytes(content[place + 2 : place + 4], "big")


def _frame_of(segments: typing.Mapping[int, int]) -> int | None:
    """Place of a JPEG's frame: precision, height, width, number of components, the components."""
    return next((segments[marker] for marker in _FRAMES if marker in segments), None)


def _too_large(content: bytes, segments: typing.Mapping[int, int]) -> str | None:
    """The reason for which OpenCV refuses an image that declares too many pixels, or None."""
    frame = _frame_of(segments)
    if frame is not None:
        height, width = struct.unpack_from(">HH", content[frame + 1 : frame + 5].ljust(4, b"\0"))
    elif content[1:4] == b"PNG" and len(content) >= 24:
        width, height = struct.unpack_from(">II", content, 16)
    else:
        return None
    return too_many_pixels(width, height)


def too_many_pixels(width: int, height: int) -> str | None:
    """The reason for which an image or a frame of this size is not decoded, or None."""
    limit = largest_image()
    if width * height <= limit:
        return None
    return f"declares {width}×{height} pixels, more than {limit:,} ({IMAGE_LIMIT} sets the limit)"


# Operation that makes an image upright, by the EXIF tag Orientation; MXNet's record iterator applies it itself.
_TURNS: dict[int, typing.Callable[[np.ndarray], np.ndarray]] = {
    2: np.fliplr,
    3: lambda image: np.rot90(image, 2),
    4: np.flipud,
    5: lambda image: image.transpose(1, 0, 2),
    6: lambda image: np.rot90(image, -1),
    7: lambda image: np.rot90(image.transpose(1, 0, 2), 2),
    8: np.rot90,
}


def _orientation(content: bytes) -> typing.Any:
    """Value of the EXIF tag Orientation of an encoded image, or None."""
    if not is_jpeg(content) or b"Exif\x00" not in content[:4096]:
        return None
    # Not with PIL.Image.open, which has a limit of its own.
    with contextlib.suppress(Exception):  # damaged metadata, of which Pillow raises many kinds: leave it as stored
        return PIL.JpegImagePlugin.JpegImageFile(io.BytesIO(content)).getexif().get(0x0112)
    return None
