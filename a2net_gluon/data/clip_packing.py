"""Packing videos as records of JPEG frames, which are read about 14 times as fast and take 28 times the disk."""

from __future__ import annotations

import functools
import os
import typing

import numpy as np
from tqdm import tqdm

from a2net_gluon.data.clip_records import clip_content
from a2net_gluon.data.clips import Video
from a2net_gluon.data.decoding import DecodeError
from a2net_gluon.data.disk_estimate import check_disk
from a2net_gluon.data.packing import PackedRecord, check_class_names, packed, write_set
from a2net_gluon.data.parallel import results_of
from a2net_gluon.data.recordio import LARGEST, frame
from a2net_gluon.data.samples import Dataset, OnSkip
from a2net_gluon.data.shrinking import as_jpeg, shrunk
from a2net_gluon.data.videos import Tell, WholeVideo
from a2net_gluon.files import folder_for_output
from a2net_gluon.terminal import printable

__all__ = ["PARTS", "name_below", "pack_clips", "readable"]

PARTS = {"training": "train", "validation": "val"}  # names of files, by the part of a data set
_MEASURED = 4  # frames of a video from which its bytes are estimated


def pack_clips(
    dataset: Dataset,
    folder: str | os.PathLike[str],
    resize: int = 256,
    quality: int = 95,
    workers: int = 0,
    on_skip: OnSkip | None = None,
    tell: Tell = lambda line: None,
) -> dict[str, int]:
    """Write the videos of a data set as ``train.rec`` and ``val.rec``, with ``.idx`` and ``.lst``, in the list's order.

    Each file is written under another name, checked, and renamed, as `pack_folder` does. The bytes do not depend on
    the number of processes.

    Parameters
    ----------
    dataset : Dataset
        Of `video_dataset`.
    folder : str or Path
    resize : int
        Length of the shorter edge of a frame in pixels; smaller frames stay as they are.
    quality : int
        Of the JPEGs, from 1 to 100.
    workers : int
        Processes; 0: this one.
    on_skip : callable, optional
        Called with name and reason of each video that cannot be packed.
    tell : callable, optional
        Called with a line about the disk.

    Returns
    -------
    dict of str to int
        Number of videos in each ``.rec`` file.

    Raises
    ------
    UsageError
        If the list cannot hold the name of a class.
    FailureError
        If the disk has less space than is needed, no video of a part can be read, or nothing can be written.
    """
    check_class_names(dataset.name, dataset.classes)
    folder = folder_for_output(folder)
    measure = functools.partial(_measure, resize=resize, quality=quality)
    tell(check_disk(folder, [video for part in PARTS for _, video in readable(dataset, part)], measure))
    for name, reason in dataset.unreadable.items():
        if on_skip:
            on_skip(name, reason)
    written = {}
    for part in dataset.parts():
        prefix = folder / PARTS[part]
        packed = _Packing(dataset, part, resize, quality).records(workers, on_skip)
        written[f"{prefix}.rec"] = write_set(prefix, packed)
    return written


def readable(dataset: Dataset, part: str) -> list[tuple[int, WholeVideo]]:
    """Number and video of the samples of a part that are not known to be unreadable."""
    samples: typing.Any = dataset.parts().get(part)
    if samples is None:
        return []
    return [(n, video) for n, video in enumerate(samples.videos) if samples.names[n] not in dataset.unreadable]


def name_below(path: str, root: str) -> str | None:
    """`path` as seen from the folder `root`; None if it is not below it."""
    name = os.path.relpath(path, root)
    return None if name.split(os.sep)[0] == os.pardir else name


class _Packing(typing.NamedTuple):
    """The packing of one part of a data set."""

    dataset: Dataset
    part: str
    resize: int
    quality: int

    def records(self, workers: int, on_skip: OnSkip | None) -> typing.Iterator[PackedRecord]:
        """The records of all videos that can be read."""
        samples: typing.Any = self.dataset.parts()[self.part]
        videos = readable(self.dataset, self.part)
        found = results_of(self._record, videos, workers, lambda item: str(samples.names[item[0]]))
        shown = tqdm(zip(videos, found), PARTS[self.part], len(videos), unit=" videos", disable=None)
        results = (
            (number, int(samples.labels[number]), samples.names[number], record) for (number, _), record in shown
        )
        nothing = f"{self.dataset.name}: not a single {self.part} video could be read"
        return packed(results, self.dataset.classes, nothing, on_skip)

    def _record(self, item: tuple[int, WholeVideo]) -> bytes | str:
        """The record of a video, or the reason why there is none."""
        number, video = item
        samples: typing.Any = self.dataset.parts()[self.part]
        path, label = samples.names[number], int(samples.labels[number])
        jpegs, size = [], 0
        try:
            for image in video.frames():
                jpegs.append(as_jpeg(shrunk(image, self.resize), self.quality))
                size += len(jpegs[-1])
                if size > LARGEST:
                    raise ValueError(f"too long: its first {len(jpegs):,} frames fill a record")
            name = printable(name_below(path, self.dataset.name) or path)
            return frame(clip_content(jpegs, name, self.dataset.split), label, number)
        except (DecodeError, ValueError) as error:
            return str(error)


def _measure(video: Video, resize: int, quality: int) -> tuple[int, int]:
    """Bytes of some frames of a video as JPEGs, and their number."""
    numbers = np.linspace(0, video.length() - 1, _MEASURED).astype(int)
    return sum(len(as_jpeg(shrunk(image, resize), quality)) for image in video.read(numbers)), len(numbers)
