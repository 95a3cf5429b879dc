"""The processes that read images: how they begin, are awaited and end. The pool of MXNet's DataLoader makes them."""

import contextlib
import os
import signal
import time
import types

import cv2

from a2net_gluon.environment import end_with_parent
from a2net_gluon.errors import FailureError

__all__ = ["binding_readers", "check_readers", "end_readers", "take_readers", "wait_for_batch"]

_TIMEOUT = 600  # seconds for one batch
_GRACE = 2  # seconds before a dead reader is told: a signal to all processes comes here too, and ends the run otherwise


def take_readers(loader):
    """The processes of a loader, which from now on neither replaces nor ends them.

    A reader that ended has taken its batch with it, so that another one in its place is of no use, and the pool would
    fork it at any moment from a thread: MXNet stops its engine for a fork, and what the main thread is computing
    just then may never end. In a signal to all processes every reader ends at once.
    """
    pool = loader._worker_pool
    if pool is None:
        return []
    pool._terminate.cancel()
    readers = list(pool._pool)
    pool._pool[:] = [types.SimpleNamespace(exitcode=None)] * len(readers)  # it looks for those that have exited
    return readers


def wait_for_batch(loaded, readers):
    """Wait for the next batch while those who make them are there; one that has ended has taken its batch with it.

    Raises
    ------
    FailureError
        If a reader has ended, or no batch comes.
    """
    batch = loaded._data_buffer.get(loaded._rcvd_idx)
    if batch is None:  # the end
        return
    for _ in range(_TIMEOUT):
        batch.wait(1)
        check_readers(readers)
        if batch.ready():
            return
    raise FailureError(f"no batch within {_TIMEOUT} s: does the storage hang?")


_WHY = {
    -signal.SIGKILL: "; perhaps for want of memory: lower --num-data-workers",
    -signal.SIGBUS: "; shared memory is full: lower --num-data-workers, or enlarge /dev/shm",
}


def check_readers(readers):
    """Raise FailureError if one of the processes has ended."""
    ended = [reader.exitcode for reader in readers if not reader.is_alive()]
    if ended:
        time.sleep(_GRACE)
        raise FailureError(f"a process that reads images has ended, exit code {ended[0]}{_WHY.get(ended[0], '')}")


def end_readers(owner, readers):
    """End the readers of the process `owner`; in one forked from it, do nothing."""
    if os.getpid() == owner:
        for process in readers:
            process.kill()


_making_readers = False


@contextlib.contextmanager
def binding_readers():
    """Processes that are forked meanwhile are set up as readers, see `_begin_reader`."""
    global _making_readers
    _making_readers = True
    try:
        yield
    finally:
        _making_readers = False


def _begin_reader():
    """Have a reader end with its parent, for which it would wait for ever, and compute on one processor.

    There are as many readers as are to compute. And OpenCV's threads do not survive a fork.
    """
    end_with_parent()
    cv2.setNumThreads(0)


os.register_at_fork(after_in_child=lambda: _begin_reader() if _making_readers else None)
