"""Writing files so that a reader, or a killed process, never meets half of one."""

import contextlib
import os
import pathlib
import shutil
import tempfile

from a2net_gluon.errors import FailureError

__all__ = ["flush", "folder_for_output", "output_folder", "replacing", "staging_folder", "write_text"]


def folder_for_output(path):
    """Create folder `path`, check that files can be made in it, and return it as a Path.

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
def output_folder(path):
    """Yield `folder_for_output(path)`; on an exception the folders that had to be created for it are removed again."""
    path = pathlib.Path(path)
    new = [folder for folder in (path, *path.parents) if not folder.exists()]
    try:
        yield folder_for_output(path)
    except BaseException:
        for folder in new:
            with contextlib.suppress(OSError):  # not if somebody else has put something there
                folder.rmdir()
        raise


@contextlib.contextmanager
def replacing(path):
    """Yield a temporary path beside `path`; on success it takes the place of `path`, otherwise it is removed.

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
        with contextlib.suppress(OSError):  # not there, or in what is no folder
            temporary.unlink()


def write_text(path, text):
    """Write `text` to `path` in UTF-8, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextlib.contextmanager
def staging_folder(parent):
    """Yield a new folder inside `parent` that is removed at the end, with whatever was left in it."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix=".staging-", dir=parent))
    folder.chmod(0o755)  # mkdtemp makes it private, and it may stay
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def flush(path):
    """Have the system write file or folder `path` to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
