"""Readers: worker processes that read images, forked by MXNet's DataLoader. Setup, waiting for batches, termination."""

from __future__ import annotations

import contextlib
import multiprocessing.util
import os
import signal
import time
import typing

import cv2

from a2net_gluon import mxnet_fixes
from a2net_gluon.environment import end_with_parent
from a2net_gluon.errors import FailureError

__all__ = ["binding_readers", "check_readers", "end_readers", "take_readers", "wait_for_batch"]

_TIMEOUT = 600  # seconds for one batch
# Seconds before an ended reader is reported. A signal that is sent to all processes also reaches this one, and should
# end the run first.
_GRACE = 2


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
    -signal.SIGBUS: "; shared memory is full: lower --num-data-workers, or enlarge /dev/shm",
}


def check_readers(readers: typing.Sequence[typing.Any]) -> None:
    """Raise FailureError if one of the processes has ended."""
    ended = [reader.exitcode for reader in readers if not reader.is_alive()]
    if ended:
        time.sleep(_GRACE)
        raise FailureError(f"a process that reads images has ended, exit code {ended[0]}{_WHY.get(ended[0], '')}")


def end_readers(owner: int, readers: typing.Sequence[typing.Any]) -> None:
    """End the readers of the process `owner`; in one forked from it, do nothing."""
    if os.getpid() == owner:
        for process in readers:
            process.kill()


_making_readers = False


@contextlib.contextmanager
def binding_readers() -> typing.Iterator[None]:
    """Make every process that is forked in this context a reader, see `_begin_reader`."""
    global _making_readers
    # Readers inherit this folder, which Python removes when this process exits. Otherwise each would make its own for
    # the socket that it hands batches over, and leave it behind when it is killed.
    multiprocessing.util.get_temp_dir()
    _making_readers = True
    try:
        yield
    finally:
        _making_readers = False


def _begin_reader() -> None:
    """Make this reader end with its parent, for which it would otherwise wait forever, and use one thread.

    The number of readers is the number of processors to use, and OpenCV's threads do not survive a fork.
    """
    end_with_parent()
    cv2.setNumThreads(0)


os.register_at_fork(after_in_child=lambda: _begin_reader() if _making_readers else None)
