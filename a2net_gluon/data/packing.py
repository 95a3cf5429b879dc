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

__all__ = ["pack_folder"]

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
    odd = [name for name in classes if set(name) & set("\t\n\r")]
    if odd:
        raise UsageError(f"{folder}: class {odd[0]!r} has a tab or a line break in its name: rename its folder")
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
            count = _write(paths, classes, images, on_skip)
            if not count:
                raise FailureError(f"{folder}: not a single image could be read")
            if len(RecordFile(paths[0])) != count:
                raise FailureError(f"{targets[0]}: was not written whole; pack again")
            _replace(paths, targets)
    except OSError as error:
        raise FailureError(f"{targets[0]}: cannot be written ({error.strerror})") from None
    return count


def _write(
    paths: typing.Sequence[pathlib.Path], classes: typing.Sequence[str], images: ImageSamples, on_skip: OnSkip | None
) -> int:
    """Write the files of a set; returns the number of records."""
    order = list(range(len(images.names)))
    random.Random(_SEED).shuffle(order)
    count = 0
    with contextlib.ExitStack() as stack:
        records, names, index = (stack.enter_context(open(path, "wb")) for path in paths)
        for number in order:
            path, label = images.names[number], int(images.labels[number])
            try:
                record = frame(pathlib.Path(path).read_bytes(), label, number)
            except (OSError, ValueError) as error:
                if on_skip:
                    on_skip(path, getattr(error, "strerror", None) or str(error))
                continue
            name = f"{classes[label]}/{printable(os.path.basename(path))}"
            index.write(f"{number}\t{records.tell()}\n".encode())
            names.write(os.fsencode(f"{number}\t{label:f}\t{name}\n"))
            records.write(record)
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
