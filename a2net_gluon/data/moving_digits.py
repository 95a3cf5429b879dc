"""Handwritten digits that move: clips without a download, whose class is the direction.

The digits are those of `a2net_gluon.data.digits`. A digit starts anywhere on the canvas and leaves it at one edge to
come back at the other, so that a single frame is equally likely for every direction: only motion tells the classes
apart.
"""

from __future__ import annotations

import dataclasses
import typing

import cv2
import numpy as np

from a2net_gluon.data.clips import Sampling, VideoSamples
from a2net_gluon.data.digits import TRAIN_COUNT, load_digits
from a2net_gluon.data.samples import Dataset

__all__ = ["DIRECTIONS", "MovingDigit", "moving_digits_dataset"]

# Steps of a frame in rows and columns; rows count downwards.
DIRECTIONS = {
    "left": (0, -1),
    "right": (0, 1),
    "up": (-1, 0),
    "down": (1, 0),
    "up-left": (-1, -1),
    "up-right": (-1, 1),
    "down-left": (1, -1),
    "down-right": (1, 1),
}
_CANVAS = 32  # pixels
_DIGIT = 16
_SPEED = 2  # pixels a frame
_LENGTH = _CANVAS // _SPEED  # frames until a digit is where it started
_SEED = 8  # of the places and directions


@dataclasses.dataclass(frozen=True)
class MovingDigit:
    """A `Video` of one digit on a black canvas, computed when it is read.

    Attributes
    ----------
    image : ndarray (h, w, 3) of uint8
    start : tuple of int
        Row and column of the digit's upper left corner in the first frame.
    step : tuple of int
        Pixels down and to the right that it moves in one frame.
    """

    image: np.ndarray
    start: tuple[int, int]
    step: tuple[int, int]

    def length(self) -> int:
        """Frames until the digit is where it started."""
        return _LENGTH

    def read(self, numbers: np.ndarray) -> np.ndarray:
        """Draw the frames with these numbers."""
        canvas = np.zeros((_CANVAS, _CANVAS, 3), np.uint8)
        canvas[:_DIGIT, :_DIGIT] = cv2.resize(self.image, (_DIGIT, _DIGIT), interpolation=cv2.INTER_LINEAR)
        places = np.asarray(self.start) + np.outer(numbers, self.step)
        return np.stack([np.roll(canvas, (int(row), int(column)), (0, 1)) for row, column in places])


def moving_digits_dataset(sampling: Sampling, training: bool = True) -> Dataset:
    """The moving digits as a `Dataset`: the digits for training and for validation are by different writers."""
    images = load_digits()[0]
    train = _samples(images[:TRAIN_COUNT], 0, sampling) if training else None
    val = _samples(images[TRAIN_COUNT:], TRAIN_COUNT, sampling)
    return Dataset("the embedded moving digits", tuple(DIRECTIONS), train, val)


def _samples(images: np.ndarray, first: int, sampling: Sampling) -> VideoSamples:
    rng = np.random.default_rng((_SEED, first))
    starts = rng.integers(_CANVAS, size=(len(images), 2))
    labels = rng.permutation(np.arange(len(images)) % len(DIRECTIONS))
    steps = _SPEED * np.array(list(DIRECTIONS.values()))[labels]
    videos = [MovingDigit(image, _pair(start), _pair(step)) for image, start, step in zip(images, starts, steps)]
    names = [f"moving digit {first + number}" for number in range(len(images))]
    return VideoSamples(names, labels, videos, sampling)


def _pair(values: typing.Sequence[int]) -> tuple[int, int]:
    row, column = values
    return int(row), int(column)
