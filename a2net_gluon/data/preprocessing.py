"""Preprocessing of images and clips to a network's input: crop, frames and normalization.

Validation images are resized with MXNet's operators, as its C++ record iterator does. The results of opencv-python
differ by one level in places.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Any, Sequence, Tuple

import mxnet as mx
import numpy as np

from a2net_gluon.data.decoding import DecodeError
from a2net_gluon.environment import largest_image
from a2net_gluon.errors import UsageError
from a2net_gluon.fields import COUNT, CROP_RATIO, FRAMES, INPUT_SIZE, PIXEL, POSITIVE
from a2net_gluon.settings.network import FRAME_ORDERS

__all__ = [
    "CENTRE",
    "INTERPOLATION",
    "INTERPOLATION_NAME",
    "NORMALIZATIONS",
    "Place",
    "Preprocessing",
    "normalize",
    "resize_short",
]

Place = Tuple[float, float]  # of a crop, from (0, 0) at the top left of the image to (1, 1) at the bottom right: (x, y)
CENTRE: Place = (0.5, 0.5)
INTERPOLATION = 2  # in mxnet's and OpenCV's numbering; the DPN code's choice
INTERPOLATION_NAME = "bicubic"

# Mean and factor for red, green, blue: input = (pixel - mean) * factor.
NORMALIZATIONS = {
    # The paper's image code builds on the DPN code (section 3.3); these are that code's numbers.
    "dpn": ((124.0, 117.0, 104.0), (0.0167, 0.0167, 0.0167)),
    "torchvision": ((123.675, 116.28, 103.53), (1 / 58.395, 1 / 57.12, 1 / 57.375)),
    "gluoncv": ((123.68, 116.779, 103.939), (1 / 58.393, 1 / 57.12, 1 / 57.375)),
}


def normalize(F: Any, pixels: Any, mean: Any, scale: Any, axes: Sequence[int] | None = None) -> Any:  # noqa: N803 (Gluon's)
    """Compute ``(pixels - mean) * scale`` in float32: the formula of `Preprocessing.normalize` and of exported graphs.

    Parameters
    ----------
    F : module
        ``mxnet.nd`` or ``mxnet.sym``.
    pixels : NDArray or Symbol
        Values from 0 to 255 of any type.
    mean, scale : NDArray or Symbol
        Of a shape that broadcasts to that of `pixels`.
    axes : sequence of int, optional
        Order of axes to transpose `pixels` to first, for crops whose channels come last.
    """
    pixels = F.cast(pixels, dtype="float32")
    if axes is not None:
        pixels = F.transpose(pixels, axes=axes)
    return F.broadcast_mul(F.broadcast_sub(pixels, mean), scale)


def resize_short(image: np.ndarray, length: int) -> np.ndarray:
    """Resize an RGB image (h, w, 3) of uint8 so that its shorter edge has `length` pixels, as validation does.

    Raises
    ------
    DecodeError
        If the result would have more pixels than an image may have, as that of a line of pixels.
    """
    height, width = image.shape[:2]
    if length**2 * max(height, width) > largest_image() * min(height, width):
        raise DecodeError(f"{width}×{height} pixels are too oblong to resize to {length}")
    return np.asarray(mx.image.resize_short(mx.nd.array(image, dtype=np.uint8), length, INTERPOLATION).asnumpy())


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """The steps from an image or the frames of a clip to a network's input.

    Validation: the shorter edge is resized to ``ceil(size / crop_ratio)``, the centre ``size × size`` is
    cropped. Smaller images are enlarged. Training and validation: input = (pixel - mean) * scale, channels first.

    Attributes
    ----------
    size : int
        Height and width of the input, in pixels.
    crop_ratio : float
        Above 0, at most 1.
    mean, scale : tuple of float
        For red, green and blue, on the 0 to 255 scale.
    frames : int or None
        Length of a clip; None for images.
    stride : int
        Distance in the video from one frame of a clip to the next.
    order : {"forward", "shuffled"}
        Of the frames of a clip, see `Sampling`.
    """

    size: int = 224
    crop_ratio: float = 0.875
    mean: tuple[float, ...] = NORMALIZATIONS["dpn"][0]
    scale: tuple[float, ...] = NORMALIZATIONS["dpn"][1]
    frames: int | None = None
    stride: int = 1
    order: str = FRAME_ORDERS[0]

    def __post_init__(self) -> None:
        rules = {"size": INPUT_SIZE, "crop_ratio": CROP_RATIO, "stride": COUNT}
        for name, rule in rules.items() if self.frames is None else [*rules.items(), ("frames", FRAMES)]:
            if not rule.holds(getattr(self, name)):
                raise UsageError(f"{name} is {getattr(self, name)!r}; it must be {rule.words}")
        if self.order not in FRAME_ORDERS:
            raise UsageError(f"order is {self.order!r}; it must be one of {', '.join(FRAME_ORDERS)}")
        for name, rule in {"mean": PIXEL, "scale": POSITIVE}.items():
            values = getattr(self, name)
            if len(values) != 3 or not all(map(rule.holds, values)):
                raise UsageError(f"{name} is {values!r}; it must be {rule.words} for red, green and blue")

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one network input: (3, size, size) for images, (3, frames, size, size) for clips."""
        return (3, *([] if self.frames is None else [self.frames]), self.size, self.size)

    @property
    def resize(self) -> int:
        """Length of the shorter edge before the crop, as in GluonCV's scripts."""
        return math.ceil(self.size / self.crop_ratio)

    def centre_crop(self, image: np.ndarray) -> np.ndarray:
        """The crop for validation: `crop` at the centre."""
        return self.crop(image, CENTRE)

    def crop(self, image: np.ndarray, place: Place) -> np.ndarray:
        """Resize `image`, an RGB array (h, w, 3), and crop it: a uint8 array (size, size, 3).

        Parameters
        ----------
        image : ndarray (h, w, 3) of uint8
        place : tuple of float
            Of the crop within the space that it can move in, (x, y): (0, 0) is at the top left, (1, 1) at the bottom
            right. The nearest pixel is taken, the smaller one of two.

        Raises
        ------
        DecodeError
            If the resized image would have more pixels than an image may have, as that of a line of pixels.
        """
        resized = resize_short(image, self.resize)
        x, y = (_nearest(part * (edge - self.size)) for part, edge in zip(place, resized.shape[1::-1]))
        return resized[y : y + self.size, x : x + self.size]

    def centre_region(self, width: int, height: int) -> tuple[float, float, float, float]:
        """The part of an image that `centre_crop` takes: left, top, right and bottom, in pixels of the image."""
        short = min(width, height)
        region = []
        for edge in (width, height):
            resized = self.resize * edge // short  # as MXNet's resize_short rounds
            start = _nearest(0.5 * (resized - self.size))
            region.append((start * edge / resized, (start + self.size) * edge / resized))
        (left, right), (top, bottom) = region
        return left, top, right, bottom

    def normalize(self, pixels: mx.nd.NDArray) -> mx.nd.NDArray:
        """Normalize uint8 images (N, 3, h, w) or clips (N, 3, t, h, w) on their device, in float32."""
        mean, scale = (_per_channel(values, pixels.ndim, pixels.context) for values in (self.mean, self.scale))
        return normalize(mx.nd, pixels, mean, scale)


def _nearest(position: float) -> int:
    """The nearest whole number, the smaller one of two: half of an odd number is rounded down, as ``//`` does."""
    return math.ceil(position - 0.5)


@functools.lru_cache(maxsize=None)
def _per_channel(values: tuple[float, ...], ndim: int, ctx: mx.Context) -> mx.nd.NDArray:
    """Return `values`, one for each channel, as an array that broadcasts over batch and locations."""
    return mx.nd.array(np.array(values).reshape(1, -1, *[1] * (ndim - 2)), ctx=ctx)
