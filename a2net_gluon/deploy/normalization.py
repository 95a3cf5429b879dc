"""Normalization as a part of the graph, so that whoever runs it needs neither mean nor scale."""

from __future__ import annotations

from typing import Any, Sequence

import mxnet as mx
import numpy as np
from mxnet.gluon.block import HybridBlock

from a2net_gluon.data.preprocessing import Preprocessing, normalize
from a2net_gluon.networks.weights import NORMALIZATION

__all__ = ["WithNormalization"]


class WithNormalization(HybridBlock):
    """A network with normalization in front of it, which takes RGB crops of uint8.

    Parameters
    ----------
    net : HybridBlock
        Initialized.
    preprocessing : Preprocessing
        Its mean and scale become constants of the graph.

    Inputs
    ------
    x : (N, h, w, 3) of uint8, or (N, t, h, w, 3) for clips

    Outputs
    -------
    Those of `net`.
    """

    def __init__(self, net: HybridBlock, preprocessing: Preprocessing) -> None:
        super().__init__(prefix="")
        locations = len(preprocessing.input_shape) - 1  # axes of a crop without its channels
        self._channels_first = (0, locations + 1, *range(1, locations + 1))
        with self.name_scope():
            self.mean = self._constant("mean", preprocessing.mean)
            self.scale = self._constant("scale", preprocessing.scale)
        self.net = net
        ctx = next(iter(net.collect_params().values())).list_ctx()
        for constant in (self.mean, self.scale):
            constant.initialize(ctx=ctx)

    def _constant(self, name: str, values: Sequence[float]) -> mx.gluon.Constant:
        shape = (1, -1, *(1 for _ in self._channels_first[2:]))
        return self.params.get_constant(f"{NORMALIZATION}{name}", mx.nd.array(np.reshape(values, shape)))

    def hybrid_forward(self, F: Any, x: Any, mean: Any, scale: Any) -> Any:  # noqa: D102, N803 (Gluon's)
        return self.net(normalize(F, x, mean, scale, axes=self._channels_first))
