"""Random crop, mirror and colour jitter of training images and clips."""

from __future__ import annotations

import dataclasses
import math
import typing

import cv2
import numpy as np

from a2net_gluon.data.preprocessing import INTERPOLATION

__all__ = ["AUGMENTATIONS", "Augmentation", "CornerCrops", "Draws", "ScaledCrops"]

Box = typing.Tuple[int, int, int, int]  # left, top, width and height, in pixels


class Draws(typing.NamedTuple):
    """The random numbers of one sample.

    Attributes
    ----------
    box : tuple of int
        Left, top, width and height of the crop, in pixels.
    mirrored : bool
    shifts : tuple of int or None
        Of hue, lightness and saturation, on OpenCV's 8-bit HLS scale.
    """

    box: Box
    mirrored: bool
    shifts: tuple[int, ...] | None


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """Random crop, mirror and colour jitter for training.

    Attributes
    ----------
    min_area : float
        Smallest fraction of the image's area that a crop covers; the largest is 1.
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

    def draw(self, rng: np.random.Generator, width: int, height: int) -> Draws:
        """Draw the random numbers for one sample; all frames of a clip share them.

        Parameters
        ----------
        rng : numpy.random.Generator
        width, height : int
            Of the frames, in pixels.
        """
        box = self._crop_box(width, height, rng)
        mirrored = bool(self.mirror and rng.random() < 0.5)
        shifts = None
        if self.hue or self.saturation or self.lightness:
            limits = np.array([self.hue, self.lightness, self.saturation])
            shifts = tuple(int(value) for value in rng.integers(-limits, limits + 1))
        return Draws(box, mirrored, shifts)

    def apply(self, frame: np.ndarray, draws: Draws, size: int) -> np.ndarray:
        """Crop `frame`, an RGB array (h, w, 3) of uint8, to (size, size, 3), mirror and jitter it as `draws` say."""
        x, y, width, height = draws.box
        crop = cv2.resize(frame[y : y + height, x : x + width], (size, size), interpolation=INTERPOLATION)
        if draws.mirrored:
            crop = cv2.flip(crop, 1)
        return crop if draws.shifts is None else _shift_colours(crop, draws.shifts)

    def _crop_box(self, width: int, height: int, rng: np.random.Generator) -> Box:
        for _ in range(10):  # ten tries, as in the random resized crops of MXNet and torchvision
            area = rng.uniform(self.min_area, 1.0) * width * height
            ratio = rng.uniform(1 / self.aspect, self.aspect)
            w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if 0 < w <= width and 0 < h <= height:
                return int(rng.integers(width - w + 1)), int(rng.integers(height - h + 1)), w, h
        side = min(width, height)
        return (width - side) // 2, (height - side) // 2, side, side


@dataclasses.dataclass(frozen=True)
class ScaledCrops(Augmentation):
    """Crops of frames that are first scaled at random, as in the video code of the paper's first author.

    A frame is stretched by a random aspect, its shorter edge is resized to a random length, and a crop of the network's
    input size is taken anywhere in it. `min_area` is not used.

    Attributes
    ----------
    scales : tuple of float
        Smallest and largest length of the shorter edge, relative to the input size.
    """

    scales: tuple[float, float] = (1.0, 1.0)

    def _crop_box(self, width: int, height: int, rng: np.random.Generator) -> Box:
        aspect = rng.uniform(1.0, self.aspect)
        if rng.random() < 0.5:
            aspect = 1 / aspect
        side = min(width * aspect, height) / rng.uniform(*self.scales)
        w, h = max(int(side / aspect), 1), max(int(side), 1)
        return int(rng.integers(width - w + 1)), int(rng.integers(height - h + 1)), w, h


@dataclasses.dataclass(frozen=True)
class CornerCrops(Augmentation):
    """Crops of fixed sizes at fixed places, as in temporal segment networks and GluonCV's action recognition.

    Width and height are the shorter edge times one of `ratios` each, which are equal or neighbours in the list; the
    place is one of 13. `min_area` and `aspect` are not used.

    Attributes
    ----------
    ratios : tuple of float
    """

    ratios: tuple[float, ...] = (1.0, 0.875, 0.75, 0.66)

    def _crop_box(self, width: int, height: int, rng: np.random.Generator) -> Box:
        sides = [max(int(min(width, height) * ratio), 1) for ratio in self.ratios]
        pairs = [(w, h) for i, w in enumerate(sides) for j, h in enumerate(sides) if abs(i - j) <= 1]
        w, h = pairs[rng.integers(len(pairs))]
        column, row = _PLACES[rng.integers(len(_PLACES))]
        return (width - w) * column // 4, (height - h) * row // 4, w, h


# Columns and rows of the places of `CornerCrops`, in quarters of the space beside a crop: corners, centre, the middles
# of the edges, and the middles between centre and corners.
_PLACES = ((0, 0), (4, 0), (0, 4), (4, 4), (2, 2), (0, 2), (4, 2), (2, 0), (2, 4), (1, 1), (3, 1), (1, 3), (3, 3))
_LARGEST_HUE = 180


def _shift_colours(crop: np.ndarray, shifts: tuple[int, ...]) -> np.ndarray:
    planes = cv2.split(cv2.cvtColor(crop, cv2.COLOR_RGB2HLS))
    scalars: list[typing.Any] = [float(value) for value in (*shifts, _LARGEST_HUE)]  # OpenCV's types know arrays only
    hue, *others = (cv2.add(plane, value) for plane, value in zip(planes, scalars))  # clips to 0 and 255
    return cv2.cvtColor(cv2.merge([cv2.min(hue, scalars[-1]), *others]), cv2.COLOR_HLS2RGB)


AUGMENTATIONS: dict[str, Augmentation | None] = {
    # From the DPN code, not in the paper: 8 to 100 % of the area, aspect 3/4 to 4/3, mirror, HSL jitter 20, 40, 50.
    "dpn": Augmentation(min_area=0.08, aspect=4 / 3, mirror=True, hue=20, saturation=40, lightness=50),
    # For photographs of 32 to 64 pixels, where a small crop shows too little.
    "small": Augmentation(min_area=0.5, aspect=4 / 3, mirror=True),
    # For digits and other signs, which mirroring would change.
    "shift": Augmentation(min_area=0.5, aspect=4 / 3),
    # For clips. From the video code of the paper's first author (GloRe), without its noise on single pixels: shorter
    # edge 224 to 340 for crops of 224, aspect 4/5 to 5/4, mirror, HSL jitter 15, 25, 35.
    "author": ScaledCrops(scales=(1.0, 340 / 224), aspect=1.25, mirror=True, hue=15, saturation=25, lightness=35),
    # GluonCV's for action recognition, without its change of the aspect to 340×256.
    "gluoncv": CornerCrops(mirror=True),
    # torchvision's reference training for videos: crops of 112 from a shorter edge of 128.
    "torchvision": ScaledCrops(scales=(128 / 112, 128 / 112), mirror=True),
    "none": None,
}
