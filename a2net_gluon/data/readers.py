"""The processes that read images: their start, the wait for them, and their end. MXNet's DataLoader forks them."""

from __future__ import annotations

import contextlib
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
_GRACE = (
    2  # seconds before a dead reader is reported: a signal to all processes also comes here, and ends the run first
)


def take_readers(loader: typing.Any) -> list[typing.Any]:
    """Take over the processes of a loader, which from then on neither replaces nor ends them.

    A reader that ended has taken its batch with it, so another one in its place is of no use.
    """
    return mxnet_fixes.take_worker_processes(loader)


def wait_for_batch(loaded: typing.Any, readers: typing.Sequence[typing.Any]) -> None:
    """Wait for the next batch while its readers live; one that has ended has taken its batch with it.

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
    raise FailureError(f"no batch within {_TIMEOUT} s: does the storage hang?")


_WHY = {
    -signal.SIGKILL: "; perhaps the memory is full: lower --num-data-workers",
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
    """Set up processes that are forked in this context as readers, see `_begin_reader`."""
    global _making_readers
    _making_readers = True
    try:
        yield
    finally:
        _making_readers = False


def _begin_reader() -> None:
    """Have a reader end with its parent, for which it would wait for ever, and compute on one processor.

    There are as many readers as are to compute. And OpenCV's threads do not survive a fork.
    """
    end_with_parent()
    cv2.setNumThreads(0)


os.register_at_fork(after_in_child=lambda: _begin_reader() if _making_readers else None)
