"""Clips of videos as samples: which frames a clip takes. `a2net_gluon.data.views` has several views of each video.

Where to look (`Sampling`), how to read (`Video`) and what to do with the frames (`Augmentation`, `Preprocessing`) are
three things. A video shorter than a clip is repeated from its start.
"""

from __future__ import annotations

import dataclasses
import typing

import numpy as np

from a2net_gluon.data.decoding import DecodeError
from a2net_gluon.data.preprocessing import CENTRE, Place, Preprocessing
from a2net_gluon.data.samples import Labels
from a2net_gluon.settings.network import FRAME_ORDERS

__all__ = ["Sampling", "Video", "VideoSamples", "clip_of"]

_ORDER = 3  # what a random number is drawn for; `a2net_gluon.data.views` has the smaller numbers


def clip_of(frames: typing.Mapping[int, np.ndarray], numbers: typing.Iterable[int]) -> np.ndarray:
    """Stack the frames (h, w, 3) with these numbers as a clip (t, h, w, 3); `DecodeError` if frames differ in size."""
    if len({frame.shape for frame in frames.values()}) > 1:
        raise DecodeError("its frames differ in size")
    return np.stack([frames[int(number)] for number in numbers])


class Video(typing.Protocol):
    """Frames that can be read by number."""

    def length(self) -> int:
        """Number of frames, at least 1.

        Raises
        ------
        DecodeError
            If the video cannot be read.
        """
        ...

    def read(self, numbers: np.ndarray) -> np.ndarray:
        """Read the frames with these numbers, counted from 0, as an array (t, h, w, 3) of uint8, RGB.

        Raises
        ------
        DecodeError
            If one of them cannot be read.
        """
        ...


@dataclasses.dataclass(frozen=True)
class Sampling:
    """The frames that a clip takes from a video.

    Attributes
    ----------
    frames : int
        Length of a clip.
    stride : int
        Distance in the video from one frame of a clip to the next.
    order : {"forward", "shuffled"}
        Forward: as in the video; shuffled: the same frames in an order that is drawn for each clip.
    """

    frames: int
    stride: int
    order: str = FRAME_ORDERS[0]

    @classmethod
    def of(cls, preprocessing: Preprocessing) -> Sampling:
        """The frames of a network's input: for a network for images a single one."""
        return cls(preprocessing.frames or 1, preprocessing.stride, preprocessing.order)

    @property
    def span(self) -> int:
        """Frames of a video that a clip reaches over; a shorter video is repeated."""
        return (self.frames - 1) * self.stride + 1

    def random(self, length: int, rng: np.random.Generator) -> np.ndarray:
        """Frame numbers of a clip that starts anywhere, the last possible start included."""
        return self._numbers(length, int(rng.integers(self._starts(length))), rng)

    def even(self, length: int, clip: int = 0, clips: int = 1, seed: typing.Sequence[int] = (0, 0)) -> np.ndarray:
        """Frame numbers of clip `clip` of `clips`, evenly placed from the first frame to the last; one is central.

        Shuffled frames have an order that is a function of the clip's first frame and `seed`: two numbers, the seed of
        an evaluation and the number of the video.
        """
        place = clip / (clips - 1) if clips > 1 else 0.5
        start = round(place * (self._starts(length) - 1))
        return self._numbers(length, start, np.random.default_rng((_ORDER, *seed, start)))

    def _starts(self, length: int) -> int:
        """Number of frames at which a clip can start."""
        return max(length - self.span + 1, 1)

    def _numbers(self, length: int, start: int, rng: np.random.Generator) -> np.ndarray:
        numbers = (start + self.stride * np.arange(self.frames)) % length
        return numbers if self.order == FRAME_ORDERS[0] else rng.permutation(numbers)


@dataclasses.dataclass(frozen=True)
class VideoSamples:
    """Labelled videos as `Samples`: one clip of each, anywhere for training and central for validation.

    Attributes
    ----------
    names : sequence of str
    labels : sequence of int
    videos : sequence of Video
    sampling : Sampling
    groups : None
        Every clip is of a video of its own.
    """

    names: typing.Sequence[str]
    labels: Labels
    videos: typing.Sequence[Video]
    sampling: Sampling
    groups: typing.Sequence[int] | None = None
    noun: typing.ClassVar[str] = "videos"

    def place(self, number: int, width: int, height: int) -> Place:
        """The centre."""
        return CENTRE

    def read(self, number: int, rng: np.random.Generator | None = None) -> np.ndarray:
        """Read a clip, (t, h, w, 3): with `rng` a random one, else the central one."""
        video = self.videos[number]
        length, sampling = video.length(), self.sampling
        return video.read(sampling.even(length, seed=(0, number)) if rng is None else sampling.random(length, rng))
