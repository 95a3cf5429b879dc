"""RecordIO files, as im2rec writes them: labels and images by number, in the order of the file."""

from __future__ import annotations

import os
import pathlib
import re
import typing
import weakref

import numpy as np

from a2net_gluon.data.decoding import DecodeError, decode
from a2net_gluon.data.recordio import CLIPS, FRAME, HEADER, WORD, are_whole, ends, unframe
from a2net_gluon.data.samples import Dataset, ImageSamples
from a2net_gluon.errors import FailureError, UsageError

__all__ = ["RecordFile", "class_names", "record_dataset"]

# Keys and places. MXNet's iterator does not check that they are numbers, and ends the process if they are not.
_INDEX = re.compile(r"(?:[0-9]{1,18}\t[0-9]{1,18}(?:\n|\Z))*")
_LOOKED_AT = 16  # records that tell what a file holds: the first can be damaged
_CLASSES = 1_000_000  # the most; a damaged label can be any number


class RecordFile:
    """A .rec file and its .idx, checked: the index lists each record once, and every record has one label.

    Parameters
    ----------
    rec : str or Path
    idx : str or Path, optional
        Default: ``rec`` with the ending .idx.

    Attributes
    ----------
    names : list of str
        Names of the records, in the order of the file.
    labels : ndarray of int

    Raises
    ------
    UsageError
        If one of the files is missing.
    FailureError
        If the index is damaged, lists other records than the .rec file holds, or lists them twice, or if a label is
        not a whole number from 0 to 999,999.
    """

    def __init__(self, rec: str | os.PathLike[str], idx: str | os.PathLike[str] | None = None) -> None:
        self.rec = pathlib.Path(rec)
        self.idx = pathlib.Path(idx) if idx else self.rec.with_suffix(".idx")
        if not self.rec.is_file():
            raise UsageError(f"{self.rec}: no such record file")
        if not self.idx.is_file():
            raise UsageError(f"{self.idx}: no such index; pack the records with im2rec.py, which writes it")
        text = self.idx.read_text(encoding="ascii", errors="replace")
        if not _INDEX.fullmatch(text):
            raise FailureError(f"{self.idx}: not a record index; pack the records again")
        words = text.split()
        places = sorted((int(place), key) for key, place in zip(words[::2], words[1::2]))
        if not places:
            raise FailureError(f"{self.idx}: lists no record; pack the records again")
        self.names = [f"{self.rec}, record {key}" for _, key in places]
        self._size = self.rec.stat().st_size
        self._bounds = [*(offset for offset, _ in places), self._size]
        self._file = os.open(self.rec, os.O_RDONLY)  # the readers share it: nothing moves its place
        weakref.finalize(self, os.close, self._file)
        self.labels = self._check()

    def __len__(self) -> int:
        return len(self.names)

    @property
    def holds_clips(self) -> bool:
        """Whether the records are videos, as ``a2net pack-clips`` writes them, and not images."""
        return any(self.part(number, 0, len(CLIPS)) == CLIPS for number in range(min(len(self), _LOOKED_AT)))

    def part(self, number: int, start: int, size: int) -> bytes:
        """`size` bytes of the content of record `number` from `start` on, fewer at its end; no other byte is read.

        Nothing is found in a record of several parts, see `recordio`, or where there is no record.
        """
        begin, end = self._bounds[number : number + 2]
        place = begin + FRAME + HEADER + start
        return os.pread(self._file, max(min(size, end - place), 0), place) if self._whole[number] else b""

    def images(self) -> ImageSamples:
        """The records as samples that Python reads."""
        return ImageSamples(self.names, self.labels, self.read, content=self.content)

    def read(self, number: int) -> np.ndarray:
        """Decode the image of record `number`, in the file's order; raises `DecodeError`."""
        return decode(self.content(number))

    def content(self, number: int) -> bytes:
        """The content of record `number`, an image file; raises `DecodeError`."""
        start, end = self._bounds[number : number + 2]
        try:
            return unframe(os.pread(self._file, end - start, start))
        except ValueError as error:
            raise DecodeError(str(error)) from None

    def _check(self) -> np.ndarray:
        """Check that the index lists each record of the file once; returns the labels."""
        starts, torn = self._bounds[:-1], f"{self.rec}: truncated, or not the file {self.idx} belongs to"
        whole = starts[0] == 0 and starts[-1] + FRAME + HEADER <= self._size
        if not whole or any(bound % WORD for bound in self._bounds):
            raise FailureError(f"{torn}; copy or pack it again")
        words = np.memmap(self.rec, "<u4", "r")
        places = np.array(starts, np.int64) // WORD
        found, nexts = ends(words, places), np.append(places[1:], len(words))
        if not 0 < found[-1] <= len(words):
            raise FailureError(f"{torn}; copy or pack it again")
        sound = found >= 0  # the others are named when they are read
        self._whole = sound & are_whole(words, places)
        for number in np.flatnonzero(sound & (found != nexts))[:1]:
            raise FailureError(
                f"{self.idx}: does not list each record of {self.rec} once: {self.names[number]} ends at byte "
                f"{WORD * found[number]}, and what follows in the index, or the end of the file, is at byte "
                f"{WORD * nexts[number]}; pack the records again"
            )
        return self._checked_labels(np.where(sound, words[places + 2], 0), np.where(sound, words[places + 3], 0))

    def _checked_labels(self, flags: np.ndarray, bits: np.ndarray) -> np.ndarray:
        """The labels of all records as whole numbers, from the words of their headers."""
        for flag in flags[flags > 0][:1]:
            raise FailureError(f"{self.rec}: records have {flag} labels each; one is needed for classification")
        labels = bits.astype("<u4").view("<f4")
        with np.errstate(invalid="ignore"):  # NaN
            right = (labels >= 0) & (labels < _CLASSES) & (labels == np.floor(labels))
        for number in np.flatnonzero(~right)[:1]:
            raise FailureError(
                f"{self.names[number]} has label {labels[number]:g}; labels are whole numbers from 0 to "
                f"{_CLASSES - 1}: pack the records again"
            )
        return labels.astype(np.int64)


def record_dataset(
    train: RecordFile | None, val: RecordFile, classes: int | typing.Sequence[str] | None = None
) -> Dataset:
    """The images of record files as a `Dataset` that Python reads.

    Parameters
    ----------
    train, val : RecordFile
        `train` may be None where only validation is wanted.
    classes : int or sequence of str, optional
        The number of classes, or their names; default: those of the labels.

    Raises
    ------
    UsageError
        If the files were packed with other classes.
    """
    files = [file for file in (train, val) if file is not None]
    names = class_names(classes, files)
    return Dataset(str(files[0].rec), names, train.images() if train is not None else None, val.images())


def class_names(classes: int | typing.Sequence[str] | None, files: typing.Sequence[RecordFile]) -> tuple[str, ...]:
    """The names of the classes: those given, or those in the lists beside the records, or numbers."""
    lists = {file.rec: _names_in_list(file.rec.with_suffix(".lst")) for file in files}
    given = None if classes is None or isinstance(classes, int) else tuple(classes)
    for path, names in lists.items():
        expected = given or next(iter(lists.values()))
        # Numbers instead of names do not show the order of the classes.
        if not names or not expected or expected == tuple(map(str, range(len(expected)))):
            continue
        if names != expected:
            raise UsageError(
                f"{path} was packed with other classes ({len(names)}, {names[0]} first) than expected "
                f"({len(expected)}, {expected[0]} first): pack all parts with the same class folders"
            )
    if given:
        return given
    names = next(iter(lists.values()))
    count = classes if isinstance(classes, int) else 0
    count = count or (len(names) if names else max(int(file.labels.max()) for file in files) + 1)
    return names if names and len(names) == count else tuple(str(number) for number in range(count))


def _names_in_list(path: pathlib.Path) -> tuple[str, ...] | None:
    """Class names from the list beside the records, as `packing.pack_folder` and im2rec write it."""
    try:
        text = path.read_text(encoding="utf-8", errors="surrogateescape")
        rows = [line.split("\t") for line in text.rstrip("\n").split("\n")]
        names = {int(float(row[1])): pathlib.PurePath(row[-1]).parts[0] for row in rows}
    except (OSError, ValueError, IndexError):
        return None
    return tuple(names[label] for label in sorted(names)) if sorted(names) == list(range(len(names))) else None
