"""Packing an image folder as RecordIO, to the same bytes as MXNet's im2rec with ``--pass-through``."""

from __future__ import annotations

import contextlib
import os
import pathlib
import random
import typing

from a2net_gluon.data.folder import list_images
from a2net_gluon.data.recordio import frame
from a2net_gluon.data.records import RecordFile
from a2net_gluon.data.samples import ImageSamples, OnSkip
from a2net_gluon.errors import FailureError, UsageError
from a2net_gluon.files import flush, folder_for_output, staging_folder
from a2net_gluon.terminal import printable

__all__ = ["PackedRecord", "check_class_names", "pack_folder", "write_set"]

_ENDINGS = (".rec", ".lst", ".idx")  # the index comes last: a set without it cannot be opened
_SEED = 100  # of the order of the records; im2rec's


def pack_folder(folder: str | os.PathLike[str], prefix: str | os.PathLike[str], on_skip: OnSkip | None = None) -> int:
    """Write ``<prefix>.rec``, ``.idx`` and ``.lst`` from ``folder/<class>/``; returns the number of images.

    The files are packed as they are, in shuffled order. They are written under other names, checked, and renamed: a set
    that was there before stays until then, and at no moment a set can be opened that is not whole.

    Parameters
    ----------
    folder, prefix : str or Path
    on_skip : callable, optional
        Called with name and reason of each file that cannot be packed.

    Raises
    ------
    UsageError
        If the folder is missing or has no classes, a class has a tab or a line break in its name, or `prefix` is a
        folder.
    FailureError
        If a class is empty, or nothing can be written.
    """
    classes, images = list_images(folder)
    check_class_names(folder, classes)
    return write_set(prefix, _records_of(folder, classes, images, on_skip))


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


def write_set(prefix: str | os.PathLike[str], records: typing.Iterable[PackedRecord]) -> int:
    """Write ``<prefix>.rec``, ``.idx`` and ``.lst``, whole or not at all; returns the number of records.

    Raises
    ------
    UsageError
        If `prefix` is a folder.
    FailureError
        If nothing can be written; and what `records` raises.
    """
    prefix = pathlib.Path(prefix)
    if prefix.is_dir():
        raise UsageError(f"{prefix} is a folder; the prefix is the start of file names, e.g. {prefix}-records")
    targets = [prefix.with_name(f"{prefix.name}{ending}") for ending in _ENDINGS]
    for target in targets:
        if target.is_dir():
            raise UsageError(f"{target} is a folder, and would have to be replaced: choose another prefix")
    try:
        with staging_folder(folder_for_output(prefix.parent)) as staging:
            paths = [staging / f"records{ending}" for ending in _ENDINGS]
            count = _write(paths, records)
            if len(RecordFile(paths[0])) != count:
                raise FailureError(f"{targets[0]}: was not written whole; pack again")
            _replace(paths, targets)
    except OSError as error:
        raise FailureError(f"{targets[0]}: cannot be written ({error.strerror})") from None
    return count


def _records_of(
    folder: str | os.PathLike[str], classes: typing.Sequence[str], images: ImageSamples, on_skip: OnSkip | None
) -> typing.Iterator[PackedRecord]:
    order = list(range(len(images.names)))
    random.Random(_SEED).shuffle(order)
    skipped = 0
    for number in order:
        path, label = images.names[number], int(images.labels[number])
        try:
            record = frame(pathlib.Path(path).read_bytes(), label, number)
        except (OSError, ValueError) as error:
            skipped += 1
            if on_skip:
                on_skip(path, getattr(error, "strerror", None) or str(error))
            continue
        yield PackedRecord(number, label, f"{classes[label]}/{printable(os.path.basename(path))}", record)
    if skipped == len(order):
        raise FailureError(f"{folder}: not a single image could be read")


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
