"""Two handwritten digits far apart: images without a download, whose class needs both of them.

The digits are the 0, 1 and 2 of `a2net_gluon.data.digits`. A pair stands anywhere on the canvas, one digit to the right
of the other; the class is whether both are the same digit. Each digit is equally frequent in both classes, so one alone
tells nothing, and neither does a sum over the canvas of what single digits look like. A network whose receptive field
does not reach from one digit to the other, and that ends in an average over all locations, stays at chance: 50 %.
"""

from __future__ import annotations

import dataclasses
import functools
import typing

import numpy as np

from a2net_gluon.data.digits import TRAIN_COUNT, load_digits
from a2net_gluon.data.preprocessing import CENTRE, Place
from a2net_gluon.data.samples import Dataset

__all__ = ["CLASSES", "DigitPairs", "digit_pairs_dataset"]

CLASSES = ("different", "same")
_CANVAS = 48  # pixels
_COUNTS = {"training": 4096, "validation": 1024}
_KINDS = 3  # digits, from 0; with all ten the comparison takes much longer to learn
_SEED = 16  # of the validation images


@dataclasses.dataclass(frozen=True)
class DigitPairs:
    """Pairs of digits as `Samples`: drawn anew in every epoch for training, always the same for validation.

    Attributes
    ----------
    images : list of ndarray (count, 8, 8, 3) of uint8
        The images of each digit to choose from, by other writers in training than in validation.
    count : int
        Images of an epoch; the two classes take turns.
    distance : int
        Pixels from the left edge of one digit to that of the other.
    groups : None
        Every image stands for itself.
    """

    images: typing.Sequence[np.ndarray]
    count: int
    distance: int
    groups: typing.Sequence[int] | None = None
    noun: typing.ClassVar[str] = "images"

    @functools.cached_property
    def names(self) -> list[str]:
        """Name of each image."""
        return [f"pair {number}" for number in range(self.count)]

    @functools.cached_property
    def labels(self) -> np.ndarray:
        """Class of each image."""
        return np.arange(self.count) % len(CLASSES)

    def place(self, number: int, width: int, height: int) -> Place:
        """The centre."""
        return CENTRE

    def read(self, number: int, rng: np.random.Generator | None = None) -> np.ndarray:
        """Draw an image as a clip of one frame, (1, 48, 48, 3)."""
        rng = np.random.default_rng((_SEED, number)) if rng is None else rng
        kinds = len(self.images)
        first = rng.integers(kinds)
        other = 0 if number % len(CLASSES) else rng.integers(1, kinds)
        left, right = (self._draw(kind, rng) for kind in (first, (first + other) % kinds))
        height, width = left.shape[:2]
        row = rng.integers(_CANVAS - height + 1)
        column = rng.integers(_CANVAS - width - self.distance + 1)
        canvas = np.zeros((1, _CANVAS, _CANVAS, 3), np.uint8)
        for digit, start in ((left, column), (right, column + self.distance)):
            canvas[0, row : row + height, start : start + width] = digit
        return canvas

    def _draw(self, kind: int, rng: np.random.Generator) -> np.ndarray:
        return self.images[kind][rng.integers(len(self.images[kind]))]


def digit_pairs_dataset(distance: int, training: bool = True) -> Dataset:
    """The pairs as a `Dataset`: the digits for training and for validation are by different writers."""
    images, labels = load_digits()
    parts = {"training": slice(TRAIN_COUNT), "validation": slice(TRAIN_COUNT, None)}
    pairs = {
        part: DigitPairs(_by_kind(images[rows], labels[rows]), _COUNTS[part], distance) for part, rows in parts.items()
    }
    return Dataset(
        "the embedded pairs of digits", CLASSES, pairs["training"] if training else None, pairs["validation"]
    )


def _by_kind(images: np.ndarray, labels: np.ndarray) -> list[np.ndarray]:
    return [images[labels == kind] for kind in range(_KINDS)]
