"""The one definition of how an image becomes a network's input.

A folder and a .rec file of the same images give the same pixels to the last bit, also with MXNet's C++ record iterator,
whose OpenCV is its own. The opencv-python wheel decodes all usual JPEGs to the same pixels in less time. It resizes to
others, by one level here and there: that is left to MXNet, but for the random crops of training, which the
iterator draws in its own way.
"""

import dataclasses
import functools
import io
import math
import typing

import cv2
import mxnet as mx
import numpy as np
import PIL.Image

from a2net_gluon.errors import UsageError

__all__ = ["AUGMENTATIONS", "INTERPOLATION", "NORMALIZATIONS", "Augmentation", "DecodeError", "Preprocessing", "decode"]

INTERPOLATION = 2  # bicubic, in mxnet's and OpenCV's numbering; the DPN code's choice

# Mean and factor for red, green, blue: input = (pixel - mean) * factor.
NORMALIZATIONS = {
    # The paper's image code builds on the DPN code (section 3.3); these are that code's numbers.
    "dpn": ((124.0, 117.0, 104.0), (0.0167, 0.0167, 0.0167)),
    "torchvision": ((123.675, 116.28, 103.53), (1 / 58.395, 1 / 57.12, 1 / 57.375)),
    "gluoncv": ((123.68, 116.779, 103.939), (1 / 58.393, 1 / 57.12, 1 / 57.375)),
}


class DecodeError(Exception):
    """An image that cannot be decoded; the message says why."""


def decode(content):
    """Decode an encoded image to an RGB array (h, w, 3) of uint8, or raise `DecodeError`."""
    if not content:
        raise DecodeError("empty file")
    # libjpeg fills what is missing of a truncated file with grey and only warns.
    if content[:2] == b"\xff\xd8" and content.rfind(b"\xff\xd9") < 0:
        raise DecodeError("truncated JPEG")
    image = (_decode_fast if _decodes_alike(content) else _decode_as_mxnet)(content)
    if image is None:
        raise DecodeError("not an image OpenCV can decode")
    turn = _TURNS.get(_orientation(content))
    return np.ascontiguousarray(turn(image)) if turn else image


def _decode_fast(content):
    """Decode with opencv-python; None if it cannot. Of some damaged images MXNet makes what lay in the memory."""
    try:
        return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error:  # larger than it allows
        return None


def _decode_as_mxnet(content):
    try:
        return mx.image.imdecode(content).asnumpy()
    except mx.MXNetError:
        return None


# Sampling factors, width and height, of a JPEG's lightness where those of its colours are 1 and 1: 4:4:4, 4:2:2, 4:2:0
# and 4:1:1. Where colours have half of the lines only, as in a 4:2:2 photograph that was turned without loss, newer
# versions of libjpeg-turbo interpolate; that in mxnet 1.9.1 repeats lines.
_ALIKE = (0x11, 0x21, 0x22, 0x41)


def _decodes_alike(content):
    """Whether these are a JPEG's bytes of which opencv-python and MXNet make the same pixels."""
    place = 2 if content[:2] == b"\xff\xd8" else len(content)
    while place + 12 < len(content) and content[place] == 0xFF:
        if content[place + 1] in (0xC0, 0xC1, 0xC2):  # the frame: length, precision, height, width, components
            count = content[place + 9]
            lightness, *colours = content[place + 11 : place + 11 + 3 * count : 3] or (0,)
            return count == 1 or (count == 3 and lightness in _ALIKE and colours == [0x11, 0x11])
        place += 2 + int.from_bytes(content[place + 2 : place + 4], "big")
    return False


# How to upright an image for each value of the EXIF tag Orientation; the record iterator does so by itself.
_TURNS = {
    2: np.fliplr,
    3: lambda image: np.rot90(image, 2),
    4: np.flipud,
    5: lambda image: image.transpose(1, 0, 2),
    6: lambda image: np.rot90(image, -1),
    7: lambda image: np.rot90(image.transpose(1, 0, 2), 2),
    8: np.rot90,
}


def _orientation(content):
    """Value of the EXIF tag Orientation of an encoded image, or None."""
    if content[:2] != b"\xff\xd8" or b"Exif\x00" not in content[:4096]:
        return None
    try:
        return PIL.Image.open(io.BytesIO(content)).getexif().get(0x0112)
    except (OSError, ValueError, SyntaxError):  # damaged metadata: take the image as it lies
        return None


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """Random crop, mirror and colour jitter for training.

    Attributes
    ----------
    min_area : float
        Smallest part of the image's area a crop covers; the largest is the whole image.
    aspect : float
        Crops are between 1/aspect and aspect times as wide as high.
    mirror : bool
        Mirror half of the images.
    hue, saturation, lightness : int
        Largest shift on OpenCV's 8-bit HLS scale (hue 0 to 180, the others 0 to 255).
    """

    min_area: float = 1.0
    aspect: float = 1.0
    mirror: bool = False
    hue: int = 0
    saturation: int = 0
    lightness: int = 0

    def apply(self, image, size, rng):
        """Crop `image`, an RGB array (h, w, 3), to (size, size, 3) and jitter it; random numbers from `rng`."""
        x, y, width, height = self._crop_box(image.shape[1], image.shape[0], rng)
        crop = cv2.resize(image[y : y + height, x : x + width], (size, size), interpolation=INTERPOLATION)
        if self.mirror and rng.random() < 0.5:
            crop = cv2.flip(crop, 1)
        if self.hue or self.saturation or self.lightness:
            crop = self._jitter(crop, rng)
        return crop

    def _crop_box(self, width, height, rng):
        for _ in range(10):  # as MXNet's and torchvision's random resized crops: ten tries
            area = rng.uniform(self.min_area, 1.0) * width * height
            ratio = rng.uniform(1 / self.aspect, self.aspect)
            w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if 0 < w <= width and 0 < h <= height:
                return int(rng.integers(width - w + 1)), int(rng.integers(height - h + 1)), w, h
        side = min(width, height)
        return (width - side) // 2, (height - side) // 2, side, side

    def _jitter(self, crop, rng):
        limits = np.array([self.hue, self.lightness, self.saturation])
        shift = rng.integers(-limits, limits + 1)
        planes = cv2.split(cv2.cvtColor(crop, cv2.COLOR_RGB2HLS))
        hue, *others = (cv2.add(plane, float(value)) for plane, value in zip(planes, shift))  # clips to 0 and 255
        return cv2.cvtColor(cv2.merge([cv2.min(hue, 180.0), *others]), cv2.COLOR_HLS2RGB)


AUGMENTATIONS = {
    # Not in the paper; the DPN code's: 8 to 100 % of the area, aspect 3/4 to 4/3, mirror, HSL jitter 20, 40, 50.
    "dpn": Augmentation(min_area=0.08, aspect=4 / 3, mirror=True, hue=20, saturation=40, lightness=50),
    # For photographs of 32 to 64 pixels, of which a small crop shows nothing.
    "small": Augmentation(min_area=0.5, aspect=4 / 3, mirror=True),
    # For digits and other signs, which are not the same mirrored.
    "shift": Augmentation(min_area=0.5, aspect=4 / 3),
    "none": None,
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
