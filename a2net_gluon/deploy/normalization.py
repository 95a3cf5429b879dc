"""Normalisation as a part of the graph, so that whoever runs it needs no mean and no scale."""

import mxnet as mx
import numpy as np
from mxnet.gluon.block import HybridBlock

from a2net_gluon.networks.weights import NORMALIZATION

__all__ = ["WithNormalization"]


class WithNormalization(HybridBlock):
    """A network that takes RGB crops as they are: (x - mean) · scale, channels first, then the network.

    Parameters
    ----------
    net : HybridBlock
        Initialised.
    preprocessing : Preprocessing
        Its mean and scale.

    Inputs
    ------
    x : (N, h, w, 3) of uint8

    Outputs
    -------
    Those of `net`.
    """

    def __init__(self, net, preprocessing):
        super().__init__(prefix="")
        with self.name_scope():
            self.mean = self._constant("mean", preprocessing.mean)
            self.scale = self._constant("scale", preprocessing.scale)
        self.net = net
        ctx = next(iter(net.collect_params().values())).list_ctx()
        for constant in (self.mean, self.scale):
            constant.initialize(ctx=ctx)

    def _constant(self, name, values):
        return self.params.get_constant(f"{NORMALIZATION}{name}", mx.nd.array(np.reshape(values, (1, -1, 1, 1))))

    def hybrid_forward(self, F, x, mean, scale):  # noqa: D102, N803 (Gluon's)
        x = F.transpose(F.cast(x, dtype="float32"), axes=(0, 3, 1, 2))  # (N, 3, h, w)
        return self.net(F.broadcast_mul(F.broadcast_sub(x, mean), scale))
