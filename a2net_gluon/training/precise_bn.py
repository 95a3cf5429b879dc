"""BN's statistics of a network as it is, measured on batches; the running ones are of weights long gone.

Wu, Johnson: "Rethinking 'Batch' in BatchNorm", 2021, section 3 (PreciseBN). Means and variances are those of the inputs
of each BN over all batches and locations, while each BN normalizes by its own batch, as in training.
"""

from __future__ import annotations

import json
import typing

import mxnet as mx
import numpy as np
from mxnet import autograd, gluon

from a2net_gluon.data.preprocessing import Preprocessing
from a2net_gluon.data.samples import Batch
from a2net_gluon.distributed.communicator import Communicator
from a2net_gluon.mxnet_fixes import symbol_block
from a2net_gluon.training.batches import Contexts, split

__all__ = ["BatchStatistics"]


class BatchStatistics:
    """The statistics of a network's BN layers, all of which must have inputs of four dimensions, (N, c, …, …).

    Parameters
    ----------
    net : HybridBlock
        Initialized; one input. Its parameters are read at each `measure`.
    """

    def __init__(self, net: gluon.HybridBlock) -> None:
        data = mx.sym.var("data")
        graph = net(data)
        layers = [node["name"] for node in json.loads(graph.tojson())["nodes"] if node["op"] == "BatchNorm"]
        inputs = [graph.get_internals()[f"{layer}_output"].get_children() for layer in layers]
        # Input, gamma, beta, and the parameters that hold the running mean and the running variance.
        self._names = [name for each in inputs for name in each.list_outputs()[-2:]]
        moments = [mx.sym.moments(mx.sym.cast(each[0], dtype="float32"), axes=(0, 2, 3)) for each in inputs]
        self._moments = symbol_block([part for pair in moments for part in pair], data, net.collect_params())

    def measure(
        self,
        batches: typing.Iterable[Batch],
        contexts: Contexts,
        preprocessing: Preprocessing,
        communicator: Communicator,
        dtype: str = "float32",
    ) -> dict[str, mx.nd.NDArray]:
        """Measure means and variances on the batches of all processes.

        Parameters
        ----------
        batches : iterable of Batch
            Of this process; full, and of the same number in every process.
        contexts : list of mxnet.Context
            Each sees a part of each batch, by whose statistics its BN normalizes.
        preprocessing : Preprocessing
        communicator : Communicator
        dtype : str
            Of the network.

        Returns
        -------
        dict of str to NDArray
            Mean and variance (c,) of each BN, by the names of the parameters that hold them; empty without a batch.
        """
        found = []
        for batch in batches:
            with autograd.train_mode():
                parts = [
                    self._moments(preprocessing.normalize(part).astype(dtype)) for part in split(batch.pixels, contexts)
                ]
            found += [[array.asnumpy().astype(np.float64) for array in part] for part in parts]
        if not found:
            return {}
        means, variances = ([np.stack(column) for column in zip(*found)][start::2] for start in (0, 1))
        mean = _over_processes([each.mean(0) for each in means], communicator)
        spread = [inner + (each - centre.asnumpy()) ** 2 for inner, each, centre in zip(variances, means, mean)]
        variance = _over_processes([each.mean(0) for each in spread], communicator)
        return dict(zip(self._names, (array for pair in zip(mean, variance) for array in pair)))


def _over_processes(values: typing.Sequence[np.ndarray], communicator: Communicator) -> list[mx.nd.NDArray]:
    """The mean of each array over all processes."""
    arrays = [mx.nd.array(value) for value in values]
    communicator.average(arrays)
    return arrays
