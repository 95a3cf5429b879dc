"""Image files and videos as what a network sees of them: the centre crop of an image, the views of a video.

A sample is a crop of an image, or those of the frames of a clip: uint8 (h, w, 3) or (t, h, w, 3).
"""

from __future__ import annotations

import os
import pathlib
import typing

import numpy as np

from a2net_gluon.data.clips import Sampling, VideoSamples
from a2net_gluon.data.folder import is_image, read_image
from a2net_gluon.data.preprocessing import Preprocessing
from a2net_gluon.data.video_files import is_video_path
from a2net_gluon.data.videos import LazyVideo
from a2net_gluon.data.views import ViewGrid, ViewSamples
from a2net_gluon.errors import UsageError

__all__ = ["FileViews", "check_kind", "views_of"]

_Path = typing.Union[str, "os.PathLike[str]"]


class FileViews(typing.Protocol):
    """The views of each of several files."""

    def views(self, number: int) -> typing.Iterator[np.ndarray]:
        """Yield the samples that file `number` is judged by; `DecodeError` if it cannot be read."""
        ...


class _ImageViews:
    """The centre crop of each image file."""

    def __init__(self, paths: typing.Sequence[_Path], preprocessing: Preprocessing) -> None:
        self._paths, self._preprocessing = paths, preprocessing

    def views(self, number: int) -> typing.Iterator[np.ndarray]:
        yield self._preprocessing.centre_crop(read_image(self._paths[number]))


class _VideoViews:
    """Clips and crops of each video, as an evaluation takes them; the random ones depend on the video's number."""

    def __init__(self, paths: typing.Sequence[_Path], preprocessing: Preprocessing, grid: ViewGrid) -> None:
        names = [os.fspath(path) for path in paths]
        opened = [LazyVideo(name) for name in names]
        videos = VideoSamples(names, [0] * len(names), opened, Sampling.of(preprocessing))
        self._preprocessing, self._samples = preprocessing, ViewSamples(videos, grid, central=False)

    def views(self, number: int) -> typing.Iterator[np.ndarray]:
        count = len(self._samples.rows)
        for view in range(number * count, (number + 1) * count):
            frames = self._samples.read(view)
            height, width = frames.shape[1:3]
            place = self._samples.place(view, width, height)
            yield np.stack([self._preprocessing.crop(frame, place) for frame in frames])


def views_of(paths: typing.Sequence[_Path], preprocessing: Preprocessing, grid: ViewGrid = ViewGrid()) -> FileViews:  # noqa: B008  (immutable)
    """The views of image files, or for a network for clips those of videos that `grid` names."""
    if preprocessing.frames is None:
        return _ImageViews(paths, preprocessing)
    return _VideoViews(paths, preprocessing, grid)


def check_kind(paths: typing.Iterable[_Path], preprocessing: Preprocessing, name: str) -> None:
    """Raise a UsageError for a video where the network `name` takes images, or the reverse, as far as endings tell."""
    for path in map(pathlib.Path, paths):
        if preprocessing.frames is None and is_video_path(path):
            raise UsageError(f"{path} is a video, {name} takes images: name images, or a network for clips")
        if preprocessing.frames is not None and is_image(path):
            raise UsageError(f"{path} is an image, {name} takes videos: name video files or folders of frames")
