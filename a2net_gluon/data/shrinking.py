"""Images to store: smaller frames of videos, and JPEGs."""

from __future__ import annotations

import cv2
import numpy as np

from a2net_gluon.data.decoding import DecodeError
from a2net_gluon.errors import reason_of

__all__ = ["as_jpeg", "shrunk"]


def shrunk(image: np.ndarray, resize: int, even: bool = False) -> np.ndarray:
    """Make the shorter edge of an image (h, w, 3) `resize` pixels long, if it is longer.

    With `even`, both edges become even numbers of pixels, as codecs of videos need.
    """
    height, width = image.shape[:2]
    scale = min(1.0, resize / min(height, width))
    step = 2 if even else 1
    size = tuple(max(round(edge * scale / step), 1) * step for edge in (width, height))
    return image if size == (width, height) else cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def as_jpeg(image: np.ndarray, quality: int) -> bytes:
    """Encode an RGB image (h, w, 3) as a JPEG of a quality from 1 to 100.

    Raises
    ------
    DecodeError
        If it cannot be encoded, such as one that is more than 65,500 pixels long.
    """
    try:
        pixels = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
        return cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
    except cv2.error as error:
        raise DecodeError(f"cannot be encoded as a JPEG ({reason_of(error)})") from None
