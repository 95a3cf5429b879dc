"""Output files and folders, written so that neither a reader nor a killed process leaves or meets half of one."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import itertools
import os
import pathlib
import re
import secrets
import shutil
import tempfile
import time
from typing import Iterator, Union

from a2net_gluon.errors import FailureError

__all__ = [
    "AnyPath",
    "checksum",
    "flush",
    "folder_for_output",
    "output_folder",
    "remove",
    "remove_leftovers",
    "replacing",
    "staging_folder",
    "write_text",
]

AnyPath = Union[str, "os.PathLike[str]"]

_STAGING = ".staging-"
_ABANDONED = 60  # seconds: a staging folder of this age without a lock is nobody's; it gets one when it is a moment old
# What `replacing` and `staging_folder` leave if the process is killed; earlier versions wrote the process's number.
_LEFTOVER = re.compile(rf"{re.escape(_STAGING)}.+|\..+\.[0-9a-f]+\.tmp")


def folder_for_output(path: AnyPath) -> pathlib.Path:
    """Create folder `path`, check that files can be created in it, and return it as a Path.

    Raises
    ------
    FailureError
        If it cannot be created or written to.
    """
    path = pathlib.Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise FailureError(f"{path}: cannot write here ({error.strerror}); choose another output folder") from None
    return path


@contextlib.contextmanager
def output_folder(path: AnyPath, new: bool = False) -> Iterator[pathlib.Path]:
    """Yield `folder_for_output(path)`; on an exception, remove the folders that were created for it.

    With `new`, it is a folder that did not exist: ``path``, or ``path-2``, ``path-3``, …, whichever is free.
    """
    path = pathlib.Path(path)
    created = [folder for folder in (path, *path.parents)[int(new) :] if not folder.exists()]
    try:
        if new:
            path = _new_folder(path)
            created.insert(0, path)
        yield folder_for_output(path)
    except BaseException:
        for folder in created:
            with contextlib.suppress(OSError):  # another process has put something there
                folder.rmdir()
        raise


def _new_folder(path: pathlib.Path) -> pathlib.Path:
    folder_for_output(path.parent)
    folder = path
    for number in itertools.count(2):
        try:
            folder.mkdir()
            break
        except FileExistsError:
            folder = path.with_name(f"{path.name}-{number}")
    return folder


@contextlib.contextmanager
def replacing(path: AnyPath) -> Iterator[pathlib.Path]:
    """Yield an empty temporary file beside `path`; on success it replaces `path`, otherwise it is removed.

    Raises
    ------
    FailureError
        If the file cannot be written.
    """
    path = pathlib.Path(path)
    if path.is_dir():
        raise FailureError(f"{path}: is a folder; name a file")
    temporary = path.with_name(f".{path.name}.{_token()}.tmp")
    try:
        # No file or link that somebody has put here is written to; the mode is that of any new file.
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_WRONLY, 0o666))
        yield temporary
        flush(temporary)
        os.replace(temporary, path)
    except OSError as error:
        raise FailureError(f"{path}: cannot be written ({error.strerror})") from None
    finally:
        with contextlib.suppress(OSError):  # it does not exist, or its parent is not a folder
            temporary.unlink()


def write_text(path: AnyPath, text: str) -> None:
    """Write `text` to `path` in UTF-8, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextlib.contextmanager
def staging_folder(parent: AnyPath) -> Iterator[pathlib.Path]:
    """Yield a new folder inside `parent` that is removed at the end, with whatever it still contains.

    Those that killed processes have left in `parent` are removed: a lock on a folder shows that it is in use.
    """
    parent = pathlib.Path(parent)
    for left in parent.glob(f"{_STAGING}*"):
        with contextlib.suppress(OSError), _locked(left) as locked:
            if locked and time.time() - left.stat().st_mtime > _ABANDONED:
                remove(left)
    folder = parent / f"{_STAGING}{_token()}"
    folder.mkdir()
    with _locked(folder):
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _locked(folder: pathlib.Path) -> Iterator[bool]:
    """Try to lock `folder`, and yield whether it is; not all network file systems have locks on folders."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        locked = False
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            locked = True
        yield locked
    finally:
        os.close(descriptor)


def _token() -> str:
    """Text for a name that nobody can foretell."""
    return secrets.token_hex(8)


def remove_leftovers(folder: AnyPath) -> None:
    """Remove what a killed process left in `folder`; no other process may be writing there."""
    for path in pathlib.Path(folder).iterdir():
        if _LEFTOVER.fullmatch(path.name):
            remove(path)


def remove(path: pathlib.Path) -> None:
    """Remove a file, a folder with all that is in it, or a link but not what it points to, if there is one."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def checksum(path: AnyPath, algorithm: str) -> str:
    """Return the checksum of file `path` in hexadecimal digits; `algorithm` is a name that `hashlib` knows."""
    digest = hashlib.new(algorithm)
    with open(path, "rb") as file:
        for part in iter(lambda: file.read(1 << 20), b""):
            digest.update(part)
    return digest.hexdigest()


def flush(path: AnyPath) -> None:
    """Make the system write file or folder `path` to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
