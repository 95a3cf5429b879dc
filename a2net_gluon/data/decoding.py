"""Decoding of image files to RGB pixels.

opencv-python decodes, since it reports a damaged file. A folder and a .rec file of the same images give the same pixels
to the last bit, also with MXNet's C++ record iterator, whose OpenCV is its own: JPEGs of unusual sampling, of which the
two make other pixels, are decoded once more by MXNet.
"""

from __future__ import annotations

import io
import typing

import cv2
import mxnet as mx
import numpy as np
import PIL.Image

__all__ = ["DecodeError", "decode"]

_CLOSE = 16  # grey levels that two decoders may differ by on average; they differ in the colours at edges


class DecodeError(Exception):
    """An image that cannot be decoded; the message says why."""


def decode(content: bytes) -> np.ndarray:
    """Decode an encoded image to an RGB array (h, w, 3) of uint8, or raise `DecodeError`."""
    if not content:
        raise DecodeError("empty file")
    # libjpeg fills the missing part of a truncated file with grey and only warns.
    is_jpeg = content[:2] == b"\xff\xd8"
    if is_jpeg and content.rfind(b"\xff\xd9") < 0:
        raise DecodeError("truncated JPEG")
    image = _decode_with_opencv(content)
    if image is None:
        raise DecodeError("not an image OpenCV can decode")
    if is_jpeg and not _decodes_alike(content):
        image = _decode_as_mxnet(content, image)
    turn = _TURNS.get(_orientation(content) or 1)
    return np.ascontiguousarray(turn(image)) if turn else image


def _decode_with_opencv(content: bytes) -> np.ndarray | None:
    try:
        return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error:  # larger than it allows
        return None


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


def _decodes_alike(content: bytes) -> bool:
    """Whether `content` is a JPEG that opencv-python and MXNet decode to the same pixels."""
    place = 2 if content[:2] == b"\xff\xd8" else len(content)
    while place + 12 < len(content) and content[place] == 0xFF:
        if content[place + 1] in (0xC0, 0xC1, 0xC2):  # the frame: length, precision, height, width, components
            count = content[place + 9]
            luma, *chroma = content[place + 11 : place + 11 + 3 * count : 3] or (0,)
            return count == 1 or (count == 3 and luma in _ALIKE and chroma == [0x11, 0x11])
        place += 2 + int.from_bytes(content[place + 2 : place + 4], "big")
    return False


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


def _orientation(content: bytes) -> int | None:
    """Value of the EXIF tag Orientation of an encoded image, or None."""
    if content[:2] != b"\xff\xd8" or b"Exif\x00" not in content[:4096]:
        return None
    try:
        return PIL.Image.open(io.BytesIO(content)).getexif().get(0x0112)
    except (OSError, ValueError, SyntaxError):  # damaged metadata: leave the image as stored
        return None
