"""Estimates of the disk space that packed images and videos take, made before they are written."""

from __future__ import annotations

import math
import os
import shutil
import typing

import numpy as np

from a2net_gluon.data.clips import Video
from a2net_gluon.data.decoding import DecodeError
from a2net_gluon.errors import FailureError

__all__ = ["check_disk", "check_disk_for"]

_TRIED = 5  # videos

Measure = typing.Callable[[Video], typing.Tuple[int, int]]


def check_disk(folder: str | os.PathLike[str], videos: typing.Sequence[Video], measure: Measure) -> str:
    """Estimate from a few videos how many bytes all of them will take, and compare with what is free.

    Parameters
    ----------
    folder : str or Path
        Exists.
    videos : sequence of Video
    measure : callable
        ``measure(video)`` returns bytes, and the number of frames that they are for.

    Returns
    -------
    str
        Both in words.

    Raises
    ------
    FailureError
        If less is free.
    """
    frames = sum(map(_length, videos))
    needed = frames * _bytes_per_frame(videos, measure)
    return check_disk_for(folder, f"{len(videos):,} videos of {frames:,} frames in all", needed)


def check_disk_for(folder: str | os.PathLike[str], what: str, needed: float) -> str:
    """Compare the bytes that `what` needs with those that are free in `folder`; returns both in words.

    Raises
    ------
    FailureError
        If less is free.
    """
    free = shutil.disk_usage(folder).free
    text = f"{what} take about {_in_words(needed)}, {_in_words(free)} are free in {folder}"
    if needed > free:
        raise FailureError(f"{text}: lower --resize or --quality, or choose another folder")
    return text


def _in_words(size: float) -> str:
    """A number of bytes, e.g. "12.5 GB" or "3 MB"."""
    return f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{math.ceil(size / 1e6)} MB"


def _length(video: Video) -> int:
    try:
        return video.length()
    except DecodeError:
        return 0


def _bytes_per_frame(videos: typing.Sequence[Video], measure: Measure) -> float:
    size = frames = 0
    for number in np.unique(np.linspace(0, len(videos) - 1, _TRIED).astype(int)):
        try:
            one = measure(videos[number])
        except DecodeError:
            continue
        size, frames = size + one[0], frames + one[1]
    return size / max(frames, 1)
