"""Clips of videos as samples: which frames a clip takes. `a2net_gluon.data.views` has several views of each video.

Where to look (`Sampling`), how to read (`Video`) and what to do with the frames (`Augmentation`, `Preprocessing`) are
three things. A video shorter than a clip is repeated from its start.
"""

from __future__ import annotations

import dataclasses
import typing

import numpy as np

from a2net_gluon.data.decoding import DecodeError
from a2net_gluon.data.samples import Labels

__all__ = ["Sampling", "Video", "VideoSamples", "clip_of"]


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
    """

    frames: int
    stride: int

    @property
    def span(self) -> int:
        """Frames of a video that a clip reaches over; a shorter video is repeated."""
        return (self.frames - 1) * self.stride + 1

    def random(self, length: int, rng: np.random.Generator) -> np.ndarray:
        """Frame numbers of a clip that starts anywhere, the last possible start included."""
        return self._numbers(length, int(rng.integers(self._starts(length))))

    def even(self, length: int, clip: int = 0, clips: int = 1) -> np.ndarray:
        """Frame numbers of clip `clip` of `clips`, evenly placed from the first frame to the last; one is central."""
        place = clip / (clips - 1) if clips > 1 else 0.5
        return self._numbers(length, round(place * (self._starts(length) - 1)))

    def _starts(self, length: int) -> int:
        """Number of frames at which a clip can start."""
        return max(length - self.span + 1, 1)

    def _numbers(self, length: int, start: int) -> np.ndarray:
        return (start + self.stride * np.arange(self.frames)) % length


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

    def read(self, number: int, rng: np.random.Generator | None = None) -> np.ndarray:
        """Read a clip, (t, h, w, 3): with `rng` a random one, else the central one."""
        video = self.videos[number]
        length = video.length()
        return video.read(self.sampling.even(length) if rng is None else self.sampling.random(length, rng))
