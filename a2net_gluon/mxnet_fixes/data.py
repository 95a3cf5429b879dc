"""Batches and the processes that read them."""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing.pool
import os
import types
import typing

import mxnet as mx
import numpy as np

__all__ = ["awaited_batch", "close_worker_pool", "memory_of", "prefetching_iterator", "take_worker_processes"]

_PATIENCE = 2  # seconds for a thread that should end at once


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


def close_worker_pool(loader: mx.gluon.data.DataLoader) -> None:
    """End the threads of a loader's pool and close its pipes, after its worker processes were taken and killed.

    The pool's own ``terminate`` does the same, but waits forever for the lock of a queue if a worker was killed while
    it held the lock. Nobody needs these locks any more, so the queues go without them.
    """
    pool = loader._worker_pool
    if pool is None:
        return
    threads = [pool._worker_handler, pool._task_handler, pool._result_handler]
    for each in (pool, *threads):
        each._state = multiprocessing.pool.TERMINATE
    tasks, results, changes = pool._inqueue, pool._outqueue, pool._change_notifier
    results._wlock = None
    tasks._reader.close()  # the thread that hands out tasks gets an error
    os.set_blocking(results._writer.fileno(), False)
    with contextlib.suppress(OSError):
        results._writer.send(None)  # the thread that takes results is waiting for one
    changes.put(None)
    for thread in threads:
        thread.join(_PATIENCE)
    if not any(thread.is_alive() for thread in threads):
        for pipe in (tasks._writer, results._reader, results._writer, changes._reader, changes._writer):
            pipe.close()
