"""Readers: worker processes that read images, forked by MXNet's DataLoader. Setup, waiting for batches, termination."""

from __future__ import annotations

import contextlib
import errno
import multiprocessing.util
import os
import signal
import time
import typing

import cv2

from a2net_gluon import mxnet_fixes
from a2net_gluon.environment import SHARED_MEMORY_FIX, end_with_parent
from a2net_gluon.errors import FailureError, reason_of
from a2net_gluon.terminal import libraries_silenced

__all__ = ["check_readers", "end_readers", "reader_failure", "starting_readers", "take_readers", "wait_for_batch"]

_TIMEOUT = 600  # seconds for one batch
# Seconds before an ended reader is reported. A signal that is sent to all processes also reaches this one, and should
# end the run first.
_GRACE = 2
_PATIENCE = 2  # seconds for a killed reader, which may be waiting for its storage


def take_readers(loader: typing.Any) -> list[typing.Any]:
    """Take over the processes of a loader, which no longer replaces or terminates them.

    The batch of a reader that ended is lost, so a replacement would not help.
    """
    return mxnet_fixes.take_worker_processes(loader)


def wait_for_batch(loaded: typing.Any, readers: typing.Sequence[typing.Any]) -> None:
    """Wait for the next batch as long as all readers are alive; the batch of a reader that ended is lost.

    Raises
    ------
    FailureError
        If a reader has ended, or no batch comes.
    """
    batch = mxnet_fixes.awaited_batch(loaded)
    if batch is None:  # the end
        return
    for _ in range(_TIMEOUT):
        batch.wait(1)
        check_readers(readers)
        if batch.ready():
            return
    raise FailureError(f"no batch within {_TIMEOUT} s: check that the storage responds")


_WHY = {
    -signal.SIGKILL: "; the memory may be full: lower --num-data-workers",
    -signal.SIGBUS: f"; shared memory is full: {SHARED_MEMORY_FIX}",
}


def check_readers(readers: typing.Sequence[typing.Any]) -> None:
    """Raise FailureError if one of the processes has ended."""
    ended = [reader.exitcode for reader in readers if not reader.is_alive()]
    if ended:
        time.sleep(_GRACE)
        raise FailureError(f"a process that reads images has ended, exit code {ended[0]}{_WHY.get(ended[0], '')}")


def end_readers(owner: int, taken: typing.Sequence[tuple[typing.Any, typing.Sequence[typing.Any]]]) -> None:
    """End the readers of the process `owner`, pairs of a loader and its processes; in a fork of `owner`, do nothing.

    They are killed. A reader that was ended by a signal, which batch systems send to all processes, may have held a
    lock; the pool's own `terminate` would wait for that lock forever.
    """
    if os.getpid() != owner:
        return
    for _, readers in taken:
        for process in readers:
            process.kill()
    for loader, readers in taken:
        for process in readers:
            process.join(_PATIENCE)
        mxnet_fixes.close_worker_pool(loader)


_SOCKET_PATH = 107  # bytes of the longest path of a socket on Linux
# What to do about an error of the system when readers start or hand over a batch.
_FIXES = {
    errno.ENOSPC: SHARED_MEMORY_FIX,
    errno.EMFILE: "allow more open files (ulimit -n), or lower --num-data-workers",
    errno.EAGAIN: "allow more processes (ulimit -u), or lower --num-data-workers",
    errno.ENOMEM: "lower --num-data-workers",
}


def reader_failure(what: str, error: BaseException) -> FailureError:
    """Return the error for the user, with a fix, where the system refuses what readers need."""
    folder = os.environ.get("TMPDIR", "/tmp")
    fix = f"check that /dev/shm and {folder} (TMPDIR names it) are there and can be written"
    return FailureError(f"{what} ({reason_of(error)}): {_FIXES.get(getattr(error, 'errno', None) or 0, fix)}")


_making_readers = False


@contextlib.contextmanager
def starting_readers(count: int) -> typing.Iterator[None]:
    """Make every process that is forked in this context one of `count` readers, see `_begin_reader`.

    Raises
    ------
    FailureError
        If shared memory or temporary files are not to be had.
    """
    global _making_readers
    _making_readers = True
    try:
        if count:
            _make_place_for_sockets()
        yield
    except OSError as error:
        raise reader_failure(f"{count} processes that read images cannot be started", error) from None
    finally:
        _making_readers = False


def _make_place_for_sockets() -> None:
    """Make the folder for the sockets of all readers, which hand over batches there; this process removes it.

    A reader that made its own would leave it behind when it is killed.
    """
    folder = multiprocessing.util.get_temp_dir()
    if len(os.fsencode(os.path.join(folder, "listener-12345678"))) > _SOCKET_PATH:  # as multiprocessing names them
        raise FailureError(
            f"{os.path.dirname(folder)}: too long a path for the sockets of processes that read images: set TMPDIR to "
            "a folder with a shorter one, such as /tmp"
        )


def _begin_reader() -> None:
    """Make this reader end with its parent, for which it would otherwise wait forever, use one thread, and be silent.

    The number of readers is the number of processors to use, and OpenCV's threads do not survive a fork. What a reader
    has to say comes with its batch; Python would print the error of a reader that is ended while it hands over one.
    """
    end_with_parent()
    cv2.setNumThreads(0)
    libraries_silenced().__enter__()


os.register_at_fork(after_in_child=lambda: _begin_reader() if _making_readers else None)
