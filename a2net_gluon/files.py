"""Output files and folders, written so that neither a reader nor a killed process leaves or meets half of one."""

from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
import tempfile
from typing import Iterator, Union

from a2net_gluon.errors import FailureError

__all__ = ["AnyPath", "flush", "folder_for_output", "output_folder", "replacing", "staging_folder", "write_text"]

AnyPath = Union[str, "os.PathLike[str]"]


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
def output_folder(path: AnyPath) -> Iterator[pathlib.Path]:
    """Yield `folder_for_output(path)`; on an exception, remove the folders that were created for it."""
    path = pathlib.Path(path)
    new = [folder for folder in (path, *path.parents) if not folder.exists()]
    try:
        yield folder_for_output(path)
    except BaseException:
        for folder in new:
            with contextlib.suppress(OSError):  # another process has put something there
                folder.rmdir()
        raise


@contextlib.contextmanager
def replacing(path: AnyPath) -> Iterator[pathlib.Path]:
    """Yield a temporary path beside `path`; on success it replaces `path`, otherwise it is removed.

    Raises
    ------
    FailureError
        If the file cannot be written.
    """
    path = pathlib.Path(path)
    if path.is_dir():
        raise FailureError(f"{path}: is a folder; name a file")
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
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
    """Yield a new folder inside `parent` that is removed at the end, with whatever it still contains."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix=".staging-", dir=parent))
    folder.chmod(0o755)  # mkdtemp makes it private; a caller may rename it and keep it
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def flush(path: AnyPath) -> None:
    """Make the system write file or folder `path` to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
