"""The probabilities of every view as a CSV file, from which the result of any protocol can be computed.

The columns are the number of the video in the data, its name, its class (``label``, counted from 0), clip and crop of
the view, the numbers of the clip's frames in the order that the network sees (``frames``, with spaces between them),
whether the view is the central one (``central``), whether it belongs to the mean (``counts``), and the probability of
each class, with all digits of float64. A video of which a view is missing has no rows.
"""

from __future__ import annotations

import contextlib
import csv
import heapq
import pathlib
import typing

import numpy as np

from a2net_gluon.data import ViewSamples
from a2net_gluon.distributed.communicator import Communicator
from a2net_gluon.errors import FailureError
from a2net_gluon.files import AnyPath, replacing
from a2net_gluon.terminal import printable
from a2net_gluon.training.video_scores import OnVideo

__all__ = ["writing_scores"]

_COLUMNS = ("number", "video", "label", "clip", "crop", "frames", "central", "counts")


@contextlib.contextmanager
def writing_scores(
    path: AnyPath | None, samples: ViewSamples, classes: typing.Sequence[str], communicator: Communicator
) -> typing.Iterator[OnVideo]:
    """Yield a function that writes the probabilities of a video; nothing is written where `path` is None.

    Each process writes a file beside `path`. At the end the first one merges them, in the order of the videos.

    Raises
    ------
    FailureError
        If the file cannot be written.
    """
    if path is None:
        yield lambda number, probabilities: None
        return
    path = pathlib.Path(path)
    parts = [path.with_name(f".{path.name}.part-{rank}") for rank in range(communicator.size)]
    own = parts[communicator.rank] if communicator.size > 1 else path
    with replacing(own) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow([*_COLUMNS, *map(printable, classes)])

        def write(number: int, probabilities: np.ndarray) -> None:
            table.writerows(_rows(samples, number, probabilities))

        yield write
    if communicator.size > 1:
        communicator.wait()
        if not communicator.rank:
            _merge(parts, path)


def _rows(samples: ViewSamples, number: int, probabilities: np.ndarray) -> typing.Iterator[list[typing.Any]]:
    videos, views = samples.videos, samples.views
    name, label, length = printable(videos.names[number]), int(videos.labels[number]), videos.videos[number].length()
    for row, values in zip(samples.rows, probabilities):
        frames = " ".join(map(str, views.frames(videos.sampling, length, number, row.clip)))
        about = [row.clip, row.crop, frames, int(views.is_central(row)), int(row.counts)]
        yield [number, name, label, *about, *map(repr, values.tolist())]


def _merge(parts: typing.Sequence[pathlib.Path], path: pathlib.Path) -> None:
    """Merge the files of all processes, which are removed."""
    missing = [part for part in parts if not part.is_file()]
    try:
        if missing:
            raise FailureError(
                f"{missing[0]}: not here; name a file with --scores in a folder that all processes share"
            )
        with replacing(path) as temporary, contextlib.ExitStack() as stack:
            merged = stack.enter_context(open(temporary, "w", encoding="utf-8"))
            files = [stack.enter_context(open(part, encoding="utf-8")) for part in parts]
            headings = [file.readline() for file in files]
            merged.write(headings[0])
            merged.writelines(heapq.merge(*files, key=lambda line: int(line.partition(",")[0])))
    finally:
        for part in parts:
            part.unlink(missing_ok=True)
