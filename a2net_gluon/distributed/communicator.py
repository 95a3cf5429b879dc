"""What processes of one training job tell each other: gradients, sums of results, running statistics."""

import os

import mxnet as mx
import numpy as np
from mxnet import gluon

from a2net_gluon.data import Shard
from a2net_gluon.errors import UsageError

__all__ = ["Communicator", "make_communicator"]

_FIRST_KEY = 1_000_000  # above the numbers a Trainer gives to parameters


class Communicator:
    """A job of a single process, with one or several devices.

    Attributes
    ----------
    rank, size : int
        Number of this process, from 0, and of all.
    """

    rank, size = 0, 1

    def __init__(self, kvstore=None):
        self._kvstore = kvstore

    @property
    def shard(self):
        """The part of the data this process reads."""
        return Shard(self.rank, self.size)

    def place(self, contexts):
        """The contexts of this process, where all were told the same."""
        return contexts

    def trainer(self, parameters, optimizer, options):
        """A Trainer that adds up the gradients of all devices and processes.

        Every process updates its own weights. So the optimizer's state lies where it can be saved as plain arrays,
        and gradients can be looked at before they are used.
        """
        return gluon.Trainer(parameters, optimizer, options, kvstore=self._kvstore, update_on_kvstore=False)

    def sum(self, values):
        """Sums of a list of numbers over all processes, a list of float; every process has to ask."""
        if self.size == 1:
            return [float(value) for value in values]
        # Whole numbers above 16.7 million do not fit into float32, in which servers add: they go in two parts.
        values = np.asarray(values, np.float64)
        high = np.floor(values / 4096)
        summed = self._add_up(mx.nd.array(np.concatenate([high, values - 4096 * high])))
        high, low = np.split(summed.asnumpy().astype(np.float64), 2)
        return (4096 * high + low).tolist()

    def average(self, arrays):
        """Replace each NDArray of a list by its mean over all processes."""
        flat = mx.nd.concat(*(array.reshape(-1).as_in_context(mx.cpu()) for array in arrays), dim=0)
        flat = self._add_up(flat).asnumpy() / self.size
        ends = np.cumsum([array.size for array in arrays])
        for array, part in zip(arrays, np.split(flat, ends[:-1])):
            array[:] = part.reshape(array.shape)

    def wait(self):
        """Wait until every process has come here."""
        self.sum([0])

    def _add_up(self, array):
        """The sum of `array` over all processes. The caller waits for it: two sums at once would be mixed up."""
        return array


class _KVStoreCommunicator(Communicator):
    """Several processes through MXNet's parameter servers."""

    def __init__(self, kvstore):
        super().__init__(kvstore)
        self.rank, self.size = kvstore.rank, kvstore.num_workers
        self._keys = {}  # the servers keep one for each shape

    def trainer(self, parameters, optimizer, options):
        trainer = super().trainer(parameters, optimizer, options)
        trainer._init_kvstore()  # otherwise done in the first step
        trainer._init_params()
        self._settle()
        return trainer

    def _settle(self):
        """Wait until the first values are on the servers, and all processes have fetched them.

        MXNet does not wait for that (1.9.1): what is pushed next can overtake it. Then a process took the sum of the
        first gradients for its weights.
        """
        mx.nd.waitall()
        self._kvstore._barrier()

    def _add_up(self, array):
        if array.shape not in self._keys:
            self._keys[array.shape] = _FIRST_KEY + len(self._keys)
            self._kvstore.init(self._keys[array.shape], mx.nd.zeros(array.shape))
            self._settle()
        self._kvstore.pushpull(self._keys[array.shape], array, out=array)
        return array


class _HorovodCommunicator(Communicator):
    """Several processes through Horovod's all-reduce."""

    def __init__(self, horovod):
        super().__init__()
        self._horovod = horovod
        self.rank, self.size = horovod.rank(), horovod.size()

    def place(self, contexts):
        if len(contexts) > 1:
            raise UsageError(f"--kv-store horovod has one device in each process, not {len(contexts)}: --num-gpus 1")
        (context,) = contexts
        # Processes of one machine take one GPU after another.
        return [mx.Context(context.device_type, context.device_id + self._horovod.local_rank())]

    def trainer(self, parameters, optimizer, options):
        trainer = self._horovod.DistributedTrainer(parameters, optimizer, options)
        trainer._scale *= self.size  # it expects the batch of one process; Learner counts that of all
        self._horovod.broadcast_parameters(parameters, root_rank=0)
        return trainer

    def _add_up(self, array):
        return self._horovod.allreduce(array, average=False, name="a2net")


def make_communicator(kind, contexts):
    """The communicator that ``--kv-store`` names.

    Parameters
    ----------
    kind : str or None
        "local", "device" or "nccl" for one process, "dist_sync" or "dist_device_sync" for processes started by
        ``a2net launch``, "horovod" for those started by ``horovodrun``. None: "device" where there are several.
    contexts : list of mxnet.Context

    Raises
    ------
    UsageError
        If what the kind needs is not there.
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
        raise UsageError("--kv-store nccl is for GPUs: name some with --gpus, or leave it out")
    # Without a kvstore, several contexts would silently train apart.
    return Communicator((kind or "device") if len(contexts) > 1 else None)


def _start_horovod():
    try:
        import horovod.mxnet as horovod
    except ImportError:
        raise UsageError("--kv-store horovod needs Horovod, built for MXNet: see docs/distributed.md") from None
    horovod.init()
    return horovod
