"""Packing an image folder as RecordIO: files as they are, to the bytes of im2rec's ``--pass-through``, or smaller."""

from __future__ import annotations

import contextlib
import os
import pathlib
import random
import typing

import numpy as np
from tqdm import tqdm

from a2net_gluon.data.decoding import DecodeError, decode
from a2net_gluon.data.disk_estimate import check_disk_for
from a2net_gluon.data.folder import list_images
from a2net_gluon.data.parallel import results_of
from a2net_gluon.data.preprocessing import resize_short
from a2net_gluon.data.recordio import frame
from a2net_gluon.data.records import RecordFile
from a2net_gluon.data.samples import Labels, OnSkip
from a2net_gluon.data.shrinking import as_jpeg
from a2net_gluon.errors import FailureError, UsageError
from a2net_gluon.files import flush, folder_for_output, staging_folder
from a2net_gluon.terminal import printable

__all__ = ["PackedRecord", "check_class_names", "pack_folder", "packed", "write_set"]

_ENDINGS = (".rec", ".lst", ".idx")  # the index comes last: a set without it cannot be opened
_SEED = 100  # of the order of the records; im2rec's
_TRIED = 20  # images from which the bytes of all are estimated


def pack_folder(
    folder: str | os.PathLike[str],
    prefix: str | os.PathLike[str],
    on_skip: OnSkip | None = None,
    resize: int | None = None,
    quality: int = 95,
    workers: int = 0,
    tell: typing.Callable[[str], object] = lambda line: None,
) -> int:
    """Write ``<prefix>.rec``, ``.idx`` and ``.lst`` from ``folder/<class>/``; returns the number of images.

    The records are in shuffled order; their bytes do not depend on the number of processes. They are written under
    other names, checked, and renamed: a set that was there before stays until then, and at no moment a set can be
    opened that is not whole.

    Parameters
    ----------
    folder, prefix : str or Path
    on_skip : callable, optional
        Called with name and reason of each file that cannot be packed.
    resize : int, optional
        Images whose shorter edge is longer than this, in pixels, are made so small, by the resizing of validation, and
        encoded as JPEGs, upright; default: every file is packed as it is, as are those of smaller images.
    quality : int
        Of these JPEGs, from 1 to 100.
    workers : int
        Processes; 0: this one.
    tell : callable, optional
        Called with a line about the disk.

    Raises
    ------
    UsageError
        If the folder is missing or has no classes, a class has a tab or a line break in its name, or `prefix` is a
        folder.
    FailureError
        If a class is empty, the disk has less space than is needed, or nothing can be written.
    """
    classes, images = list_images(folder)
    check_class_names(folder, classes)
    packing = _Packing(classes, images.names, images.labels, resize, quality)
    _check_prefix(prefix)
    tell(packing.check_disk(folder_for_output(pathlib.Path(prefix).parent)))
    return write_set(prefix, packing.records(folder, workers, on_skip))


def check_class_names(folder: str | os.PathLike[str], classes: typing.Sequence[str]) -> None:
    """Raise UsageError if a list of records cannot hold the name of a class."""
    odd = [name for name in classes if set(name) & set("\t\n\r/")]
    if odd:
        raise UsageError(f"{folder}: class {odd[0]!r} has a tab, a line break or a slash in its name: rename it")


class PackedRecord(typing.NamedTuple):
    """A record to write.

    Attributes
    ----------
    number : int
        Its key in the index.
    label : int
    name : str
        In the list: ``class/file``.
    content : bytes
        With its frame, see `recordio.frame`.
    """

    number: int
    label: int
    name: str
    content: bytes


def packed(
    results: typing.Iterable[tuple[int, int, str, bytes | str]],
    classes: typing.Sequence[str],
    nothing: str,
    on_skip: OnSkip | None,
) -> typing.Iterator[PackedRecord]:
    """The records to write of files that can be read.

    Parameters
    ----------
    results : iterable of tuple
        Number, label and path of each file, and its record, or the reason why there is none.
    classes : sequence of str
    nothing : str
        The error if there is not a single record.
    on_skip : callable, optional
        Called with path and reason of each file that has no record.

    Raises
    ------
    FailureError
        If there is no record.
    """
    written = 0
    for number, label, path, record in results:
        if isinstance(record, str):
            if on_skip:
                on_skip(path, record)
            continue
        written += 1
        yield PackedRecord(number, label, f"{classes[label]}/{printable(os.path.basename(path))}", record)
    if not written:
        raise FailureError(nothing)


def write_set(prefix: str | os.PathLike[str], records: typing.Iterable[PackedRecord]) -> int:
    """Write ``<prefix>.rec``, ``.idx`` and ``.lst``, whole or not at all; returns the number of records.

    Raises
    ------
    UsageError
        If `prefix` is a folder.
    FailureError
        If nothing can be written; and what `records` raises.
    """
    targets = _check_prefix(prefix)
    try:
        with staging_folder(folder_for_output(targets[0].parent)) as staging:
            paths = [staging / f"records{ending}" for ending in _ENDINGS]
            count = _write(paths, records)
            if len(RecordFile(paths[0])) != count:
                raise FailureError(f"{targets[0]}: was not written whole; pack again")
            _replace(paths, targets)
    except OSError as error:
        raise FailureError(f"{targets[0]}: cannot be written ({error.strerror})") from None
    return count


def _check_prefix(prefix: str | os.PathLike[str]) -> list[pathlib.Path]:
    """The files of a set; raise UsageError if a folder is in the place of one of them, or of the prefix."""
    prefix = pathlib.Path(prefix)
    if prefix.is_dir():
        raise UsageError(f"{prefix} is a folder; the prefix is the start of file names, e.g. {prefix}-records")
    targets = [prefix.with_name(f"{prefix.name}{ending}") for ending in _ENDINGS]
    for target in targets:
        if target.is_dir():
            raise UsageError(f"{target} is a folder, and would have to be replaced: choose another prefix")
    return targets


class _Packing(typing.NamedTuple):
    """The packing of a folder: its classes, its images, and how they are stored."""

    classes: typing.Sequence[str]
    paths: typing.Sequence[str]
    labels: Labels
    resize: int | None
    quality: int

    def check_disk(self, folder: pathlib.Path) -> str:
        """Estimate the bytes of all records from some, and compare with what is free, see `check_disk_for`."""
        tried = np.unique(np.linspace(0, len(self.paths) - 1, _TRIED).astype(int))
        sizes = [len(record) for record in map(self._record, tried.tolist()) if isinstance(record, bytes)]
        return check_disk_for(folder, f"{len(self.paths):,} images", len(self.paths) * float(np.mean(sizes or [0])))

    def records(
        self, folder: str | os.PathLike[str], workers: int, on_skip: OnSkip | None
    ) -> typing.Iterator[PackedRecord]:
        """The records of all images that can be read, in shuffled order."""
        order = list(range(len(self.paths)))
        random.Random(_SEED).shuffle(order)
        found = results_of(self._record, order, workers, lambda number: self.paths[number])
        shown = tqdm(zip(order, found), "packing", len(order), unit=" images", leave=False, disable=None)
        results = ((number, int(self.labels[number]), self.paths[number], record) for number, record in shown)
        return packed(results, self.classes, f"{folder}: not a single image could be read", on_skip)

    def _record(self, number: int) -> bytes | str:
        """The record of an image, or the reason why there is none."""
        try:
            content = pathlib.Path(self.paths[number]).read_bytes()
            return frame(self._stored(content), int(self.labels[number]), number)
        except (OSError, ValueError, DecodeError) as error:
            return getattr(error, "strerror", None) or str(error)

    def _stored(self, content: bytes) -> bytes:
        """The content of a record, given that of a file."""
        if self.resize is None:
            return content
        image = decode(content)
        if min(image.shape[:2]) <= self.resize:
            return content
        return as_jpeg(resize_short(image, self.resize), self.quality)


def _write(paths: typing.Sequence[pathlib.Path], packed: typing.Iterable[PackedRecord]) -> int:
    """Write the files of a set; returns the number of records."""
    count = 0
    with contextlib.ExitStack() as stack:
        records, names, index = (stack.enter_context(open(path, "wb")) for path in paths)
        for one in packed:
            index.write(f"{one.number}\t{records.tell()}\n".encode())
            names.write(os.fsencode(f"{one.number}\t{one.label:f}\t{one.name}\n"))
            records.write(one.content)
            count += 1
    return count


def _replace(paths: typing.Sequence[pathlib.Path], targets: typing.Sequence[pathlib.Path]) -> None:
    """Put the new files in the place of the old ones; between the first and the last step, no set can be opened."""
    for path in paths:
        flush(path)
    targets[-1].unlink(missing_ok=True)
    flush(targets[-1].parent)
    for path, target in zip(paths, targets):
        os.replace(path, target)
    flush(targets[-1].parent)
