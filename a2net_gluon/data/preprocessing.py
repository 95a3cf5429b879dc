"""The one definition of how an image becomes a network's input: crop and normalisation.

Validation images are resized with MXNet's operators, as its C++ record iterator does: opencv-python resizes to other
pixels, by one level here and there.
"""

import dataclasses
import functools
import math
import typing

import mxnet as mx
import numpy as np

from a2net_gluon.errors import UsageError

__all__ = ["INTERPOLATION", "NORMALIZATIONS", "Preprocessing"]

INTERPOLATION = 2  # bicubic, in mxnet's and OpenCV's numbering; the DPN code's choice

# Mean and factor for red, green, blue: input = (pixel - mean) * factor.
NORMALIZATIONS = {
    # The paper's image code builds on the DPN code (section 3.3); these are that code's numbers.
    "dpn": ((124.0, 117.0, 104.0), (0.0167, 0.0167, 0.0167)),
    "torchvision": ((123.675, 116.28, 103.53), (1 / 58.395, 1 / 57.12, 1 / 57.375)),
    "gluoncv": ((123.68, 116.779, 103.939), (1 / 58.393, 1 / 57.12, 1 / 57.375)),
}


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """What an image goes through on its way into a network.

    Validation: the shorter edge is resized to ``ceil(size / crop_ratio)``, the middle ``size × size`` is cut out.
    Smaller images are enlarged. Both: input = (pixel - mean) * scale, channels first.

    Attributes
    ----------
    size : int
        Height and width of the input, in pixels.
    crop_ratio : float
        Above 0, at most 1.
    mean, scale : tuple of float
        For red, green and blue, on the 0 to 255 scale.
    """

    size: int = 224
    crop_ratio: float = 0.875
    mean: typing.Tuple[float, ...] = NORMALIZATIONS["dpn"][0]
    scale: typing.Tuple[float, ...] = NORMALIZATIONS["dpn"][1]

    def __post_init__(self):
        if self.size < 1:
            raise UsageError(f"input size is {self.size}; it must be at least 1 pixel")
        if not 0 < self.crop_ratio <= 1:
            raise UsageError(f"crop ratio is {self.crop_ratio}; it must be above 0 and at most 1")

    @property
    def resize(self):
        """Length of the shorter edge before the crop, as in GluonCV's scripts."""
        return math.ceil(self.size / self.crop_ratio)

    def centre_crop(self, image):
        """Resize and crop `image`, an RGB array (h, w, 3), for validation: a uint8 array (size, size, 3)."""
        image = mx.image.resize_short(mx.nd.array(image, dtype=np.uint8), self.resize, INTERPOLATION).asnumpy()
        y, x = (image.shape[0] - self.size) // 2, (image.shape[1] - self.size) // 2
        return image[y : y + self.size, x : x + self.size]

    def normalize(self, pixels):
        """Turn uint8 crops (N, 3, size, size), an NDArray on any device, into a network's float32 input."""
        mean, scale = (_per_channel(values, pixels.context) for values in (self.mean, self.scale))
        return (pixels.astype("float32") - mean) * scale


@functools.lru_cache(maxsize=None)
def _per_channel(values, ctx):
    return mx.nd.array(np.array(values).reshape(1, -1, 1, 1), ctx=ctx)
