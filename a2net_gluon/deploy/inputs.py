"""The way from files to the input of an exported graph: images and videos, crops, graph input.

A sample is a crop of an image, or those of the frames of a clip: uint8 (h, w, 3) or (t, h, w, 3).
"""

from __future__ import annotations

import os
import pathlib
from typing import Iterable, Iterator, Protocol, Sequence

import mxnet as mx
import numpy as np

from a2net_gluon.data import Sampling, VideoSamples, ViewGrid, ViewSamples, moving_digits_dataset
from a2net_gluon.data.decoding import DecodeError
from a2net_gluon.data.digits import load_digits
from a2net_gluon.data.folder import find_files, find_images, is_image, read_image
from a2net_gluon.data.preprocessing import Preprocessing
from a2net_gluon.data.samples import OnSkip
from a2net_gluon.data.video_files import is_video_path
from a2net_gluon.data.videos import LazyVideo
from a2net_gluon.errors import FailureError, UsageError
from a2net_gluon.files import AnyPath
from a2net_gluon.networks.description import Description

__all__ = ["FileViews", "check_kind", "crops_of", "find_samples", "graph_input", "sample_count", "views_of"]

DIGITS = 32  # embedded images, used where no files are named
MOVING_DIGITS = 4  # the same for clips: as many frames as those


class FileViews(Protocol):
    """The views of each of several files."""

    def views(self, number: int) -> Iterator[np.ndarray]:
        """Yield the samples that file `number` is judged by; `DecodeError` if it cannot be read."""
        ...


class _ImageViews:
    """The centre crop of each image file."""

    def __init__(self, paths: Sequence[AnyPath], preprocessing: Preprocessing) -> None:
        self._paths, self._preprocessing = paths, preprocessing

    def views(self, number: int) -> Iterator[np.ndarray]:
        yield self._preprocessing.centre_crop(read_image(self._paths[number]))


class _VideoViews:
    """Clips and crops of each video, as an evaluation takes them; the random ones depend on the video's number."""

    def __init__(self, paths: Sequence[AnyPath], preprocessing: Preprocessing, grid: ViewGrid) -> None:
        names = [os.fspath(path) for path in paths]
        sampling = Sampling(preprocessing.frames or 1, preprocessing.stride)
        videos = VideoSamples(names, [0] * len(names), [LazyVideo(name) for name in names], sampling)
        self._preprocessing, self._samples = preprocessing, ViewSamples(videos, grid, central=False)

    def views(self, number: int) -> Iterator[np.ndarray]:
        count = len(self._samples.rows)
        for view in range(number * count, (number + 1) * count):
            frames = self._samples.read(view)
            height, width = frames.shape[1:3]
            place = self._samples.place(view, width, height)
            yield np.stack([self._preprocessing.crop(frame, place) for frame in frames])


def views_of(paths: Sequence[AnyPath], preprocessing: Preprocessing, grid: ViewGrid = ViewGrid()) -> FileViews:  # noqa: B008  (immutable)
    """The views of image files, or for a network for clips those of videos that `grid` names."""
    if preprocessing.frames is None:
        return _ImageViews(paths, preprocessing)
    return _VideoViews(paths, preprocessing, grid)


def check_kind(paths: Iterable[AnyPath], preprocessing: Preprocessing, name: str) -> None:
    """Raise a UsageError for a video where the network `name` takes images, or the reverse, as far as endings tell."""
    for path in map(pathlib.Path, paths):
        if preprocessing.frames is None and is_video_path(path):
            raise UsageError(f"{path} is a video, {name} takes images: name images, or a network for clips")
        if preprocessing.frames is not None and is_image(path):
            raise UsageError(f"{path} is an image, {name} takes videos: name video files or folders of frames")


def find_samples(names: Iterable[AnyPath], clips: bool) -> list[pathlib.Path]:
    """Find the files to compare an export on: images, or for `clips` videos; images where a name matches no video."""
    if not clips:
        return find_images(names)
    found: list[pathlib.Path] = []
    for name in names:
        matches = find_files([name], lambda path: is_video_path(path) or is_image(path), "video")
        found += [path for path in matches if is_video_path(path)] or matches
    return found


def _are_frames(paths: Sequence[AnyPath], preprocessing: Preprocessing) -> bool:
    return preprocessing.frames is not None and all(is_image(pathlib.Path(path)) for path in paths)


def sample_count(paths: Sequence[AnyPath], preprocessing: Preprocessing) -> int:
    """Number of samples that `crops_of` makes of files, if all can be read."""
    if not paths:
        return DIGITS if preprocessing.frames is None else MOVING_DIGITS
    return len(paths) // (preprocessing.frames or 1) if _are_frames(paths, preprocessing) else len(paths)


def crops_of(
    paths: Sequence[AnyPath],
    preprocessing: Preprocessing,
    name: str = "the network",
    on_skip: OnSkip | None = None,
) -> np.ndarray:
    """Return a sample of each file, uint8 (N, size, size, 3), or (N, t, size, size, 3) for a network for clips.

    It is the centre crop of an image, or of the central clip of a video. For a network for clips, image files are
    frames: each `frames` of them in a row are a clip, and those left over at the end are dropped. Without files, the
    samples are embedded handwritten digits, which move in clips.

    Parameters
    ----------
    paths : sequence of str or Path
    preprocessing : Preprocessing
    name : str
        The network in messages.
    on_skip : callable, optional
        Called with name and reason of each file that cannot be read, which is left out.

    Raises
    ------
    UsageError
        If a file is of the wrong kind, or images are fewer than the frames of one clip.
    FailureError
        If not a single file can be read.
    """
    if not paths:
        return _embedded(preprocessing)
    if not _are_frames(paths, preprocessing):
        check_kind(paths, preprocessing, name)
        return _first_views(paths, views_of(paths, preprocessing), on_skip)
    frames = preprocessing.frames or 1
    crops = _first_views(paths, _ImageViews(paths, preprocessing), on_skip)
    count = len(crops) // frames
    if not count:
        raise UsageError(f"{len(crops)} images are no clip of {frames} frames: give more, or videos")
    return crops[: count * frames].reshape(count, frames, *crops.shape[1:])


def _first_views(paths: Sequence[AnyPath], files: FileViews, on_skip: OnSkip | None) -> np.ndarray:
    crops = []
    for number, path in enumerate(paths):
        try:
            crops.append(next(files.views(number)))
        except DecodeError as error:
            problem = f"{path}: {error}"
            if on_skip:
                on_skip(str(path), str(error))
    if not crops:
        raise FailureError(f"{problem}; none of {len(paths)} files can be read: name others")
    return np.stack(crops)


def _embedded(preprocessing: Preprocessing) -> np.ndarray:
    if preprocessing.frames is None:
        return np.stack([preprocessing.centre_crop(image) for image in load_digits()[0][:DIGITS]])
    clips = moving_digits_dataset(Sampling(preprocessing.frames, 1), training=False).validation
    return np.stack(
        [[preprocessing.centre_crop(frame) for frame in clips.read(number)] for number in range(MOVING_DIGITS)]
    )


def graph_input(crops: np.ndarray, description: Description) -> np.ndarray:
    """Turn samples, uint8 (N, h, w, 3) or (N, t, h, w, 3), into the input of the graph that `description` describes."""
    if description.input == "pixels":
        return crops
    channels_first = np.moveaxis(crops, -1, 1)
    return description.preprocessing.normalize(mx.nd.array(channels_first, dtype=np.uint8)).asnumpy()
