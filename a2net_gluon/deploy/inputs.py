"""The way from files to the input of an exported graph: images and videos, crops, graph input.

A sample is a crop of an image, or those of the frames of a clip: uint8 (h, w, 3) or (t, h, w, 3).
"""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Iterable, Sequence

import mxnet as mx
import numpy as np

from a2net_gluon.data import Sampling, moving_digits_dataset
from a2net_gluon.data.decoding import DecodeError
from a2net_gluon.data.digits import load_digits
from a2net_gluon.data.file_views import FileViews, check_kind, views_of
from a2net_gluon.data.folder import find_files, find_images, is_image
from a2net_gluon.data.preprocessing import Preprocessing
from a2net_gluon.data.samples import OnSkip
from a2net_gluon.data.video_files import is_video_path
from a2net_gluon.errors import FailureError, UsageError
from a2net_gluon.files import AnyPath
from a2net_gluon.networks.description import Description

__all__ = ["crops_of", "find_samples", "graph_input", "sample_count"]

DIGITS = 32  # embedded images, used where no files are named
MOVING_DIGITS = 4  # the same for clips: as many frames as those


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
    crops = _first_views(paths, views_of(paths, dataclasses.replace(preprocessing, frames=None)), on_skip)
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
