"""The rounding of a network itself: how far its answers in single precision are from those in double precision."""

from __future__ import annotations

import mxnet as mx
import numpy as np

from a2net_gluon.mxnet_fixes import symbol_block

__all__ = ["own_rounding"]


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
