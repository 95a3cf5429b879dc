"""Several views of each video, clips and crops, as samples of an evaluation.

A view is named by its clip and its crop. Its place is a function of its name, the number of the video in the list, and
a seed: it does not depend on the batch or the process that reads it.
"""

from __future__ import annotations

import dataclasses
import typing

import numpy as np

from a2net_gluon.data.clips import Sampling, VideoSamples
from a2net_gluon.data.decoding import DecodeError
from a2net_gluon.data.preprocessing import CENTRE, Place
from a2net_gluon.fields import with_defaults
from a2net_gluon.settings import Views
from a2net_gluon.settings.views import Grid

__all__ = ["View", "ViewGrid", "ViewSamples"]

_CLIP, _CROP = 1, 2  # what a random number is drawn for


class View(typing.NamedTuple):
    """One view, the same of every video.

    Attributes
    ----------
    clip, crop : int or None
        Counted from 0; None for the central clip and the centre crop, where the grid does not have both.
    """

    clip: int | None
    crop: int | None

    @property
    def counts(self) -> bool:
        """Whether it belongs to the mean over the views of a video."""
        return self.clip is not None


@dataclasses.dataclass(frozen=True)
class ViewGrid(Grid):
    """A grid of clips and crops, with the frames and the place of each.

    Attributes
    ----------
    seed : int
        Of random places and orders of frames.
    """

    seed: int = 0

    @classmethod
    def of(cls, views: Views) -> ViewGrid:
        """The grid that settings ask for."""
        views = with_defaults(views, views.defaults)
        protocol = views.protocol
        return cls(int(views.clips or 1), int(views.crops or 1), protocol.clip_places, protocol.crop_places, views.seed)

    def rows(self, central: bool = True) -> tuple[View, ...]:
        """The views of a video: clip by clip; if `central`, the central one at the end where it is not among them."""
        grid = tuple(View(clip, crop) for clip in range(self.clips) for crop in range(self.crops))
        return grid if not central or any(map(self.is_central, grid)) else (*grid, View(None, None))

    def is_central(self, view: View) -> bool:
        """Whether a view is the centre crop of the central clip, which the accuracy of single clips is measured on."""
        if view.clip is None or view.crop is None:
            return True
        clip = self.clip_places == "even" and 2 * view.clip == self.clips - 1
        crop = {"line": 2 * view.crop == self.crops - 1, "mixed": view.crop == 0, "random": False}
        return clip and crop[self.crop_places]

    def frames(self, sampling: Sampling, length: int, video: int, clip: int | None) -> np.ndarray:
        """Frame numbers of a clip of video number `video`, which has `length` frames."""
        seed = self.seed, video
        if clip is None:
            return sampling.even(length, seed=seed)
        if self.clip_places == "random":
            return sampling.random(length, np.random.default_rng((_CLIP, *seed, clip)))
        return sampling.even(length, clip, self.clips, seed)

    def place(self, video: int, view: View, width: int, height: int) -> Place:
        """Place of the crop of a view of video number `video`, whose frames have `width` and `height`."""
        clip, crop = view
        if clip is None or crop is None or (self.crop_places == "mixed" and crop == 0):
            return CENTRE
        if self.crop_places == "line":
            along = crop / (self.crops - 1) if self.crops > 1 else CENTRE[0]
            return (along, CENTRE[1]) if width >= height else (CENTRE[0], along)
        x, y = np.random.default_rng((_CROP, self.seed, video, clip, crop)).random(2)
        return float(x), float(y)


_Value = typing.TypeVar("_Value")


class _Repeated(typing.Sequence[_Value]):
    """A sequence in which each value comes `times` times; nothing is copied."""

    def __init__(self, values: typing.Any, times: int) -> None:
        self._values, self._times = values, times

    def __len__(self) -> int:
        return len(self._values) * self._times

    def __getitem__(self, number: typing.Any) -> typing.Any:
        return self._values[number // self._times]


class _Read(typing.NamedTuple):
    """The frames of all clips of one video, or the reason why they cannot be read."""

    video: int
    clips: typing.Mapping[int | None, np.ndarray]  # places in `frames`
    frames: np.ndarray | None
    problem: str


class ViewSamples:
    """The views of videos as `Samples`: those of a video follow each other.

    All clips of a video are read at once, each frame once, and kept until a view of another video is read: that is the
    memory of up to clips × length of a clip frames in each process that reads. 80 frames of 340 × 256 pixels are 21 MB.

    Attributes
    ----------
    videos : VideoSamples
    views : ViewGrid
    central : bool
        Have the central view too where the grid does not.
    rows : tuple of View
        The views of each video.
    names, labels : sequence
        Those of the video, for each view.
    groups : sequence of int
        Number of the video, for each view.
    """

    noun = "videos"

    def __init__(self, videos: VideoSamples, views: ViewGrid, central: bool = True) -> None:
        self.videos, self.views, self.rows = videos, views, views.rows(central)
        self.names: typing.Sequence[str] = _Repeated(videos.names, len(self.rows))
        self.labels: typing.Sequence[int] = _Repeated(videos.labels, len(self.rows))
        self.groups: typing.Sequence[int] = _Repeated(range(len(videos.names)), len(self.rows))
        self._last: _Read | None = None

    def read(self, number: int, rng: np.random.Generator | None = None) -> np.ndarray:
        """Read the clip of a view, (t, h, w, 3); `rng` is not used."""
        video, row = divmod(number, len(self.rows))
        if self._last is None or self._last.video != video:
            self._last = None  # before the next video needs memory
            self._last = self._read(video)
        if self._last.frames is None:
            raise DecodeError(self._last.problem)
        return self._last.frames[self._last.clips[self.rows[row].clip]]

    def place(self, number: int, width: int, height: int) -> Place:
        """Place of the crop of a view, whose frames have `width` and `height`."""
        video, row = divmod(number, len(self.rows))
        return self.views.place(video, self.rows[row], width, height)

    def _read(self, number: int) -> _Read:
        video, sampling = self.videos.videos[number], self.videos.sampling
        try:
            length = video.length()
            clips = {row.clip: self.views.frames(sampling, length, number, row.clip) for row in self.rows}
            needed = np.unique(np.concatenate([*clips.values()]))
            frames = video.read(needed)
        except DecodeError as error:
            return _Read(number, {}, None, str(error))  # it is not read again for each view
        return _Read(number, {clip: np.searchsorted(needed, which) for clip, which in clips.items()}, frames, "")
