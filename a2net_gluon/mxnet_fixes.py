"""Private calls and workarounds of MXNet 1.9.1, each behind a function that says what it does and why."""

from __future__ import annotations

import ctypes
import types
import typing

import mxnet as mx
import numpy as np
from mxnet import gluon

__all__ = [
    "all_finite",
    "awaited_batch",
    "memory_of",
    "prefetching_iterator",
    "seek_record",
    "take_worker_processes",
]


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
    fork, and a computation of the main thread may then never end. The pool's ``terminate`` waits for ever if a signal
    ended a worker that held a lock.
    """
    pool = loader._worker_pool
    if pool is None:
        return []
    pool._terminate.cancel()
    workers = list(pool._pool)
    pool._pool[:] = [types.SimpleNamespace(exitcode=None)] * len(workers)  # it looks for those that have exited
    return workers


def seek_record(reader: mx.recordio.MXRecordIO, offset: int) -> None:
    """Move a record reader to a byte offset; in MXNet 1.9.1 only MXIndexedRecordIO can, by keys of its own file."""
    mx.base.check_call(mx.base._LIB.MXRecordIOReaderSeek(reader.handle, offset))


def all_finite(arrays: typing.Iterable[mx.nd.NDArray]) -> bool:
    """Return whether no value in `arrays`, all on one device, is NaN or infinite; waits for them.

    MXNet 1.9.1's operator ``multi_all_finite`` has room for 200 arrays and crashes with more. It takes one type of
    values at a time: with float16, BN's parameters stay in float32.
    """
    groups: dict[typing.Any, list[mx.nd.NDArray]] = {}
    for array in arrays:
        groups.setdefault(array.dtype, []).append(array)
    parts = [same[start : start + 200] for same in groups.values() for start in range(0, len(same), 200)]
    return all(mx.nd.multi_all_finite(*part, num_arrays=len(part)).asscalar() == 1 for part in parts)


def named_parameters(block: gluon.Block) -> dict[str, gluon.Parameter]:
    """Return the parameters of a block by the names that ``save_parameters`` writes."""
    return block._collect_params_with_prefix()


def mean_over_devices(parameter: gluon.Parameter) -> mx.nd.NDArray:
    """Return the mean of a parameter over its devices, on the CPU, as ``save_parameters`` writes it."""
    return parameter._reduce()


def is_hybridized(block: gluon.HybridBlock) -> bool:
    """Return whether a block runs as a static graph."""
    return bool(block._active)


def wait_for_running_statistics() -> None:
    """Wait until the running statistics of BN are written.

    On the CPU, oneDNN's BN writes them in the backward pass, and the engine of MXNet 1.9.1 does not know it: reading
    them before everything has finished may give those of the step before.
    """
    mx.nd.waitall()
