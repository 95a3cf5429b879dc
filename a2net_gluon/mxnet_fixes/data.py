"""Batches and the processes that read them."""

from __future__ import annotations

import ctypes
import types
import typing

import mxnet as mx
import numpy as np

__all__ = ["awaited_batch", "memory_of", "prefetching_iterator", "take_worker_processes"]


def memory_of(array: mx.nd.NDArray) -> np.ndarray:
    """Return the memory of an NDArray on the CPU, of uint8, as a NumPy array; it must not outlive the NDArray.

    MXNet 1.9.1 has no writable view of an NDArray. Assigning to one copies the values a second time, which took an
    eighth of a reader's time.
    """
    address = ctypes.c_void_p()
    mx.base.check_call(mx.base._LIB.MXNDArrayGetData(array.handle, ctypes.byref(address)))
    return np.ctypeslib.as_array(ctypes.cast(address, ctypes.POINTER(ctypes.c_uint8)), array.shape)


def prefetching_iterator(loader: mx.gluon.data.DataLoader) -> typing.Any:
    """Start to read an epoch ahead; the iterator can be asked for the batch that is awaited, see `awaited_batch`.

    ``iter(loader)`` is a generator around the same object, which hides it.
    """
    return loader._prefetch_iter()


def awaited_batch(iterator: typing.Any) -> typing.Any:
    """Return the pending result of the next batch of a `prefetching_iterator`, or None at the end.

    MXNet's own ``next`` waits for it without looking whether the process that reads it still lives.
    """
    return iterator._data_buffer.get(iterator._rcvd_idx)


def take_worker_processes(loader: mx.gluon.data.DataLoader) -> list[typing.Any]:
    """Return the worker processes of a loader; its pool neither replaces nor ends them any more.

    The pool forks a new worker for one that ended, from a thread, at any moment; MXNet 1.9.1 stops its engine for a
    fork, and a computation of the main thread may then never end. The pool's ``terminate`` waits forever if a signal
    ended a worker that held a lock.
    """
    pool = loader._worker_pool
    if pool is None:
        return []
    pool._terminate.cancel()
    workers = list(pool._pool)
    pool._pool[:] = [types.SimpleNamespace(exitcode=None)] * len(workers)  # it looks for those that have exited
    return workers
