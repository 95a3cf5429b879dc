"""A folder of images: ``train/<class>/…`` and ``val/<class>/…``."""

from __future__ import annotations

import functools
import glob
import os
import pathlib
import typing

import numpy as np

from a2net_gluon.data.decoding import DecodeError, decode
from a2net_gluon.data.samples import Dataset, ImageSamples
from a2net_gluon.errors import FailureError, UsageError

__all__ = [
    "IMAGE_SUFFIXES",
    "find_files",
    "find_images",
    "folder_dataset",
    "is_image",
    "list_classes",
    "list_images",
    "read_image",
]

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".ppm", ".pgm")


def list_classes(
    folder: str | os.PathLike[str],
    classes: typing.Sequence[str] | None,
    accepts: typing.Callable[[os.DirEntry[str]], bool],
    kind: str,
) -> tuple[tuple[str, ...], list[str], list[int]]:
    """List what lies in ``folder/<class>/``, classes and entries in sorted order.

    Parameters
    ----------
    folder : str or Path
    classes : sequence of str or None
        The classes to expect; None: the names of the sub-folders.
    accepts : callable
        Whether an entry of a class is a sample.
    kind : str
        What samples are, for messages: "image", "video".

    Returns
    -------
    classes : tuple of str
    paths : list of str
    labels : list of int

    Raises
    ------
    UsageError
        If the folder is missing or has no sub-folders, or has a class that is not in `classes`.
    FailureError
        If a class has no sample.
    """
    folder = pathlib.Path(folder)
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder; {kind} data lies in train/<class>/ and val/<class>/")
    found = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir() and not entry.name.startswith("."))
    if not found:
        raise UsageError(f"{folder}: has no sub-folders; there must be one for each class")
    classes = tuple(found if classes is None else classes)
    unknown = sorted(set(found) - set(classes))
    if unknown:
        raise UsageError(f"{folder / unknown[0]}: class {unknown[0]!r} is not among the {len(classes)} trained classes")
    paths: list[str] = []
    labels: list[int] = []
    for name in found:
        files = sorted(entry.path for entry in os.scandir(folder / name) if accepts(entry))
        if not files:
            raise FailureError(f"{folder / name}: class {name!r} has no {kind}; add some, or remove the folder")
        paths += files
        labels += [classes.index(name)] * len(files)
    return classes, paths, labels


def list_images(
    folder: str | os.PathLike[str], classes: typing.Sequence[str] | None = None
) -> tuple[tuple[str, ...], ImageSamples]:
    """List the images of ``folder/<class>/``, as `list_classes` does; it names the parameters and the errors.

    Returns
    -------
    classes : tuple of str
    images : ImageSamples
    """
    classes, paths, labels = list_classes(folder, classes, _is_image, "image")
    return classes, ImageSamples(
        paths,
        labels,
        functools.partial(_numbered, read_image, paths),
        content=functools.partial(_numbered, _content, paths),
    )


def folder_dataset(
    folder: str | os.PathLike[str], training: bool = True, classes: typing.Sequence[str] | None = None
) -> Dataset:
    """List an image folder.

    Parameters
    ----------
    folder : str or Path
        Holds ``train/<class>/`` and ``val/<class>/``.
    training : bool
        False: list ``val`` only.
    classes : sequence of str, optional
        The classes in the order of the network's outputs; default: the sorted names of the
        sub-folders.
    """
    folder = pathlib.Path(folder)
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder")
    train = None
    if training:
        classes, train = list_images(folder / "train", classes)
    classes, val = list_images(folder / "val", classes)
    return Dataset(str(folder), classes, train, val)


def find_images(names: typing.Iterable[str | os.PathLike[str]]) -> list[pathlib.Path]:
    """Find the image files that paths, folders (searched recursively) and glob patterns name; see `find_files`.

    Files of folders and patterns without the extension of an image are ignored.
    """
    return find_files(names, is_image, "image")


def find_files(
    names: typing.Iterable[str | os.PathLike[str]], accepts: typing.Callable[[pathlib.Path], bool], kind: str
) -> list[pathlib.Path]:
    """Find what paths, folders (searched recursively) and glob patterns name.

    Matches of a folder or a pattern are sorted, and count where `accepts` holds; a file that is named itself counts in
    any case.

    Parameters
    ----------
    names : sequence of str or Path
    accepts : callable
        Tells of a path whether it is a sample.
    kind : str
        What samples are, for messages: "image", "video".

    Returns
    -------
    list of Path

    Raises
    ------
    UsageError
        If there is no such file or folder, or a folder or a pattern holds no sample.
    """
    found = []
    for name in names:
        path = pathlib.Path(os.path.expanduser(name))
        if path.is_file() or (path.is_dir() and accepts(path)):
            found.append(path)
            continue
        below = [*path.rglob("*")] if path.is_dir() else [*map(pathlib.Path, glob.glob(str(path), recursive=True))]
        files = sorted(file for file in below if accepts(file))
        if not files:
            there = path.is_dir() or below
            raise UsageError(f"{name}: {f'holds no {kind}' if there else 'no such file, folder or match'}")
        found += files
    return found


def is_image(path: pathlib.Path) -> bool:
    """Whether a path is that of an image file, by its ending."""
    return path.name.lower().endswith(IMAGE_SUFFIXES) and path.is_file()


def read_image(path: str | os.PathLike[str]) -> np.ndarray:
    """Read and decode an image file, or raise `DecodeError`."""
    return decode(_content(path))


def _content(path: str | os.PathLike[str]) -> bytes:
    try:
        return pathlib.Path(path).read_bytes()
    except OSError as error:
        raise DecodeError(error.strerror) from None


def _is_image(entry: os.DirEntry[str]) -> bool:
    return entry.name.lower().endswith(IMAGE_SUFFIXES)


def _numbered(read: typing.Callable[[str], typing.Any], paths: typing.Sequence[str], number: int) -> typing.Any:
    return read(paths[number])
