"""Communication between the processes of a training job: gradients, sums of results, running statistics."""

from __future__ import annotations

import os
from typing import Any, Mapping, Sequence

import mxnet as mx
import numpy as np
from mxnet import gluon

from a2net_gluon import mxnet_fixes
from a2net_gluon.data import Shard
from a2net_gluon.errors import UsageError

__all__ = ["Communicator", "make_communicator"]

_FIRST_KEY = 1_000_000  # above the keys that a Trainer gives to parameters


class Communicator:
    """Communication within a job of a single process, with one or several devices.

    Parameters
    ----------
    kvstore : str or mxnet.kvstore.KVStore, optional
        KVStore of the Trainer; default: none.

    Attributes
    ----------
    rank, size : int
        Number of this process, counted from 0, and number of all processes.
    """

    rank: int = 0
    size: int = 1

    def __init__(self, kvstore: Any = None) -> None:
        self._kvstore = kvstore

    @property
    def shard(self) -> Shard:
        """The part of the data that this process reads."""
        return Shard(self.rank, self.size)

    def place(self, contexts: list[mx.Context]) -> list[mx.Context]:
        """Return the contexts of this process, given those in the options of all processes."""
        return contexts

    def trainer(self, parameters: gluon.ParameterDict, optimizer: str, options: Mapping[str, Any]) -> gluon.Trainer:
        """Create a Trainer that adds up the gradients of all devices and processes.

        Every process updates its own weights, so that the optimizer's state can be saved as plain arrays, and
        gradients can be checked before they are used.
        """
        return gluon.Trainer(parameters, optimizer, options, kvstore=self._kvstore, update_on_kvstore=False)

    def sum(self, values: Sequence[float]) -> list[float]:
        """Sum each of `values` over all processes; every process must call this method."""
        if self.size == 1:
            return [float(value) for value in values]
        # Servers add in float32, which holds no whole numbers above 16.7 million: each number is sent in two parts.
        numbers = np.asarray(values, np.float64)
        high = np.floor(numbers / 4096)
        summed = self._add_up(mx.nd.array(np.concatenate([high, numbers - 4096 * high])))
        high, low = np.split(summed.asnumpy().astype(np.float64), 2)
        return (4096 * high + low).tolist()

    def average(self, arrays: Sequence[mx.nd.NDArray]) -> None:
        """Replace each NDArray of a list by its mean over all processes."""
        flat = mx.nd.concat(*(array.reshape(-1).as_in_context(mx.cpu()) for array in arrays), dim=0)
        flat = self._add_up(flat).asnumpy() / self.size
        ends = np.cumsum([array.size for array in arrays])
        for array, part in zip(arrays, np.split(flat, ends[:-1])):
            array[:] = part.reshape(array.shape)

    def wait(self) -> None:
        """Wait until every process has called this method."""
        self.sum([0])

    def _add_up(self, array: mx.nd.NDArray) -> mx.nd.NDArray:
        """Sum `array` over all processes. The caller waits for the result: two sums at once would be mixed up."""
        return array


class _KVStoreCommunicator(Communicator):
    """Communication of several processes through MXNet's parameter servers."""

    def __init__(self, kvstore: mx.kvstore.KVStore) -> None:
        super().__init__(kvstore)
        self.rank, self.size = kvstore.rank, kvstore.num_workers
        self._keys: dict[tuple[int, ...], int] = {}  # of the arrays that the servers keep, one for each shape

    def trainer(self, parameters: gluon.ParameterDict, optimizer: str, options: Mapping[str, Any]) -> gluon.Trainer:
        trainer = super().trainer(parameters, optimizer, options)
        mxnet_fixes.send_first_values(trainer)
        mxnet_fixes.meet(self._kvstore)
        return trainer

    def _add_up(self, array: mx.nd.NDArray) -> mx.nd.NDArray:
        if array.shape not in self._keys:
            self._keys[array.shape] = _FIRST_KEY + len(self._keys)
            self._kvstore.init(self._keys[array.shape], mx.nd.zeros(array.shape))
            mxnet_fixes.meet(self._kvstore)
        self._kvstore.pushpull(self._keys[array.shape], array, out=array)
        return array


class _HorovodCommunicator(Communicator):
    """Communication of several processes through Horovod's all-reduce."""

    def __init__(self, horovod: Any) -> None:
        super().__init__()
        self._horovod = horovod
        self.rank, self.size = horovod.rank(), horovod.size()

    def place(self, contexts: list[mx.Context]) -> list[mx.Context]:
        if len(contexts) > 1:
            raise UsageError(f"--kv-store horovod has one device in each process, not {len(contexts)}: --num-gpus 1")
        (context,) = contexts
        # Processes of one machine take one GPU after another.
        return [mx.Context(context.device_type, context.device_id + self._horovod.local_rank())]

    def trainer(self, parameters: gluon.ParameterDict, optimizer: str, options: Mapping[str, Any]) -> gluon.Trainer:
        trainer = self._horovod.DistributedTrainer(parameters, optimizer, options)
        # It divides by the batch of one process; Learner counts the batch of all.
        mxnet_fixes.scale_gradients(trainer, self.size)
        self._horovod.broadcast_parameters(parameters, root_rank=0)
        return trainer

    def _add_up(self, array: mx.nd.NDArray) -> mx.nd.NDArray:
        return self._horovod.allreduce(array, average=False, name="a2net")


def make_communicator(kind: str | None, contexts: Sequence[mx.Context]) -> Communicator:
    """Create the communicator that ``--kv-store`` names.

    Parameters
    ----------
    kind : str or None
        "local", "device" or "nccl" for one process; "dist_sync" or "dist_device_sync" for processes started by
        ``a2net launch``; "horovod" for processes started by ``horovodrun``; None: "device" for several devices.
    contexts : list of mxnet.Context

    Raises
    ------
    UsageError
        If the kind needs a launcher, a package or a device that is missing.
    """
    if kind == "horovod":
        return _HorovodCommunicator(_start_horovod())
    if kind and kind.startswith("dist"):
        if "DMLC_ROLE" not in os.environ:
            raise UsageError(
                f"--kv-store {kind} is for several processes: start them with a2net launch -n N -- COMMAND"
            )
        return _KVStoreCommunicator(mx.kv.create(kind))
    if kind == "nccl" and contexts[0].device_type != "gpu":
        raise UsageError("--kv-store nccl is for GPUs: name some with --gpus, or omit it")
    # Without a KVStore, several contexts would silently train separate weights.
    return Communicator((kind or "device") if len(contexts) > 1 else None)


def _start_horovod() -> Any:
    try:
        import horovod.mxnet as horovod
    except ImportError:
        raise UsageError("--kv-store horovod needs Horovod, built for MXNet: see docs/distributed.md") from None
    horovod.init()
    return horovod
