"""RecordIO files, as im2rec writes them: labels and images by number, in the order of the file."""

from __future__ import annotations

import contextlib
import functools
import io
import multiprocessing.pool
import os
import pathlib
import struct
import typing

import mxnet as mx
import numpy as np
import PIL.Image
from tqdm import tqdm

from a2net_gluon import mxnet_fixes
from a2net_gluon.data.decoding import DecodeError, decode
from a2net_gluon.data.samples import Dataset, ImageSamples
from a2net_gluon.errors import FailureError, UsageError

__all__ = ["RecordFile", "class_names", "record_dataset"]

_MAGIC = 0xCED7230A
_LENGTH_BITS = 29
_FRAME = 8  # bytes before a record: magic number and length
_HEADER = 24  # bytes of im2rec's own header: flag, label, two numbers
_CHECKED = 1 << 13  # bytes of an image in which its header should end


class RecordFile:
    """A .rec file and its .idx, checked for completeness.

    Parameters
    ----------
    rec : str or Path
    idx : str or Path, optional
        Default: ``rec`` with the ending .idx.

    Attributes
    ----------
    names : list of str
        Names of the records, in the order of the file.

    Raises
    ------
    UsageError
        If one of the files is missing.
    FailureError
        If the index is damaged or names records the .rec file does not hold.
    """

    def __init__(self, rec: str | os.PathLike[str], idx: str | os.PathLike[str] | None = None) -> None:
        self.rec = pathlib.Path(rec)
        self.idx = pathlib.Path(idx) if idx else self.rec.with_suffix(".idx")
        if not self.rec.is_file():
            raise UsageError(f"{self.rec}: no such record file")
        if not self.idx.is_file():
            raise UsageError(f"{self.idx}: no such index; pack the records with im2rec.py, which writes it")
        try:
            rows = [line.split("\t") for line in self.idx.read_text().splitlines()]
            places = sorted((int(row[1]), row[0]) for row in rows)
        except (ValueError, IndexError):
            raise FailureError(f"{self.idx}: not a record index; pack the records again") from None
        if not places:
            raise FailureError(f"{self.idx}: lists no record; pack the records again")
        self._offsets = [offset for offset, _ in places]
        self.names = [f"{self.rec}, record {key}" for _, key in places]
        if self._offsets[0] < 0:
            raise FailureError(f"{self.idx}: not a record index; pack the records again")
        with open(self.rec, "rb") as file:
            self._check_whole(file)

    def __len__(self) -> int:
        return len(self._offsets)

    @functools.cached_property
    def labels(self) -> np.ndarray:
        """Label of every record, read from the records' headers."""
        labels = np.empty(len(self), np.float32)
        with open(self.rec, "rb") as file:
            for number, offset in enumerate(self._offsets):
                file.seek(offset + _FRAME)
                flag, label = struct.unpack("<If", file.read(8))
                if flag:
                    raise FailureError(f"{self.rec}: records have {flag} labels each; one is needed for classification")
                labels[number] = label
        return labels

    def images(self) -> ImageSamples:
        """The records as samples that Python reads."""
        return ImageSamples(self.names, self.labels.astype(int), self.read)

    def read(self, number: int) -> np.ndarray:
        """Decode the image of record `number`, in the file's order; raises `DecodeError`."""
        try:
            reader = _reader(str(self.rec), os.getpid())
            mxnet_fixes.seek_record(reader, self._offsets[number])
            record = reader.read()
            if record is None:
                raise DecodeError("the file ends before it")
            return decode(mx.recordio.unpack(record)[1])
        except (mx.MXNetError, OSError, struct.error):
            raise DecodeError("not a record") from None

    def undecodable(self, threads: int = 8) -> dict[str, str]:
        """Find records whose images are damaged at the start or the end; returns their names and the reasons.

        Only images with a wrong start or end are decoded. Damage in between is not found.
        """
        with open(self.rec, "rb") as file, multiprocessing.pool.ThreadPool(threads) as pool:
            check = functools.partial(_looks_sound, file.fileno())
            results = pool.imap(check, self._offsets, chunksize=256)
            head = f"checking {self.rec.name}"  # about a minute for a million records
            sound = list(tqdm(results, head, len(self), unit=" records", leave=False, disable=None))
        found = {}
        for number in np.flatnonzero(~np.array(sound)):
            try:
                self.read(number)
            except DecodeError as error:
                found[self.names[number]] = str(error)
        return found

    def _check_whole(self, file: typing.BinaryIO) -> None:
        size = self.rec.stat().st_size
        file.seek(self._offsets[-1])
        frame = file.read(_FRAME)
        magic, field = struct.unpack("<II", frame) if len(frame) == _FRAME else (0, 0)
        end = self._offsets[-1] + _FRAME + (field & ((1 << _LENGTH_BITS) - 1))
        if magic != _MAGIC or end > size or size % 4:
            raise FailureError(f"{self.rec}: truncated, or not the file {self.idx} belongs to; copy or pack it again")


@functools.lru_cache(maxsize=4)
def _reader(path: str, process: int) -> typing.Any:
    """MXNet's reader of a record file; every process has its own, since reading moves it."""
    return mx.recordio.MXRecordIO(path, "r")


def _looks_sound(file: int, offset: int) -> bool:
    """Whether the record at `offset` starts and ends like an image."""
    start = os.pread(file, _FRAME + _HEADER + _CHECKED, offset)
    if len(start) <= _FRAME + _HEADER:
        return False
    magic, field = struct.unpack_from("<II", start)
    length = field & ((1 << _LENGTH_BITS) - 1)
    if magic != _MAGIC or field >> _LENGTH_BITS:  # the latter: a record in several parts, rare
        return False
    content = start[_FRAME + _HEADER : _FRAME + length]
    with contextlib.suppress(Exception):  # Pillow raises many kinds for a damaged header
        kind = PIL.Image.open(io.BytesIO(content)).format
        return kind == "PNG" or (kind == "JPEG" and b"\xff\xd9" in os.pread(file, 64, offset + _FRAME + length - 64))
    return False


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
    count = count or (len(names) if names else int(max(file.labels.max() for file in files)) + 1)
    return names if names and len(names) == count else tuple(str(number) for number in range(count))


def _names_in_list(path: pathlib.Path) -> tuple[str, ...] | None:
    """Class names from the .lst file im2rec leaves beside the records: lines of number, label, class/file."""
    try:
        rows = [line.split("\t") for line in path.read_text().splitlines()]
        names = {int(float(row[1])): pathlib.PurePath(row[-1]).parts[0] for row in rows}
    except (OSError, ValueError, IndexError):
        return None
    return tuple(names[label] for label in sorted(names)) if sorted(names) == list(range(len(names))) else None
