"""Whether samples can be read: every one of a list, in several processes."""

from __future__ import annotations

import functools
import typing

import numpy as np
from tqdm import tqdm

from a2net_gluon.data.clips import Video, VideoSamples
from a2net_gluon.data.decoding import DecodeError
from a2net_gluon.data.parallel import results_of
from a2net_gluon.data.samples import Samples
from a2net_gluon.data.videos import WholeVideo

__all__ = ["Checked", "check_all"]


class Checked(typing.NamedTuple):
    """The result of the check of a sample.

    Attributes
    ----------
    name : str
    problem : str or None
        Why it cannot be read.
    length : int or None
        Number of frames, of a video that is shorter than a clip.
    """

    name: str
    problem: str | None
    length: int | None


def check_all(samples: Samples, workers: int = 0, title: str = "") -> typing.Iterator[Checked]:
    """Yield the result for each sample, in order, and show the progress on a terminal.

    Every frame of a video is decoded: damage between the first and the last frame is found in no other way.

    Parameters
    ----------
    samples : Samples
    workers : int
        Processes; 0: this one.
    title : str
        Of the progress bar.
    """
    numbers = range(len(samples.names))
    found = results_of(functools.partial(_checked, samples), numbers, workers, lambda n: str(samples.names[n]))
    yield from tqdm(found, title, len(numbers), leave=False, disable=None)


def _checked(samples: Samples, number: int) -> Checked:
    name, length = str(samples.names[number]), None
    try:
        if isinstance(samples, VideoSamples):
            length = _read_all(samples.videos[number])
        else:
            samples.read(number)
    except DecodeError as error:
        return Checked(name, str(error), None)
    is_short = isinstance(samples, VideoSamples) and length is not None and length < samples.sampling.span
    return Checked(name, None, length if is_short else None)


def _read_all(video: Video) -> int:
    """Decode a video; returns the number of its frames."""
    if isinstance(video, WholeVideo):
        return sum(1 for _ in video.frames())
    return len(video.read(np.arange(video.length())))
