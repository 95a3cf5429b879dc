"""The live network that the forms of an export are compared with."""

from __future__ import annotations

import dataclasses

import mxnet as mx
import numpy as np

from a2net_gluon.deploy.inputs import graph_input
from a2net_gluon.deploy.normalization import WithNormalization
from a2net_gluon.deploy.proof import in_batches
from a2net_gluon.errors import UsageError
from a2net_gluon.mxnet_fixes import symbol_block
from a2net_gluon.networks.description import Description

__all__ = ["LiveNetwork", "own_rounding"]


class LiveNetwork:
    """The live network in the shape of its export, with normalization if its graph takes pixels."""

    def __init__(self, net: mx.gluon.HybridBlock, description: Description) -> None:
        self.net, self.description = net, description
        self.block = WithNormalization(net, description.preprocessing) if description.input == "pixels" else net
        self.block.hybridize()
        self._ctx = next(iter(net.collect_params().values())).list_ctx()[0]

    def sample(self, crops: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the graph's input for samples, and the logits of the live network."""
        inputs = graph_input(crops, self.description)
        logits = in_batches(self._forward, inputs)
        if logits.shape[1] != len(self.description.classes):
            classes = len(self.description.classes)
            raise UsageError(f"the network has {logits.shape[1]} classes, its description {classes}")
        return inputs, logits

    def rounding(self, inputs: np.ndarray, logits: np.ndarray) -> float:
        """Return the rounding of the network itself, on some of its inputs with their logits."""
        if self.description.input == "pixels":
            inputs = graph_input(inputs, dataclasses.replace(self.description, input="normalized"))
        return own_rounding(self.net, inputs, logits)

    def _forward(self, inputs: np.ndarray) -> np.ndarray:
        return self.block(mx.nd.array(inputs, ctx=self._ctx, dtype=inputs.dtype)).asnumpy()


def own_rounding(net: mx.gluon.HybridBlock, inputs: np.ndarray, logits: np.ndarray) -> float:
    """Largest difference of logits in single precision from those in double precision, relative to the largest.

    Parameters
    ----------
    net : HybridBlock
        Initialized; it stays as it is.
    inputs : numpy.ndarray
        Normalized, float32 (N, 3, h, w) or (N, 3, t, h, w); computed all at once.
    logits : numpy.ndarray
        The answers of `net` in float32, (N, classes).
    """
    ctx = next(iter(net.collect_params().values())).list_ctx()[0]
    exact = _in_double_precision(net, ctx)(mx.nd.array(inputs, ctx=ctx, dtype="float64")).asnumpy()
    return float(np.abs(logits - exact).max() / np.abs(exact).max())


def _in_double_precision(net: mx.gluon.HybridBlock, ctx: mx.Context) -> mx.gluon.HybridBlock:
    """Copy a network, with float64 for float32."""
    data = mx.sym.var("data")
    copy = symbol_block(net(data), data, mx.gluon.ParameterDict())
    values = {parameter.name: parameter.data(ctx).astype("float64") for parameter in net.collect_params().values()}
    copy.collect_params().load_dict(values, ctx, cast_dtype=True, dtype_source="saved")
    return copy
