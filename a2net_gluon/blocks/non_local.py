"""The non-local block, the paper's comparison in its Tables 2 and 3.

Wang, Girshick, Gupta, He: "Non-local Neural Networks", CVPR 2018, https://arxiv.org/abs/1711.07971; the embedded
Gaussian version, without sub-sampling, as the A²-Nets paper compares with it.
"""

from __future__ import annotations

import functools
from types import ModuleType
from typing import Any

import mxnet as mx
from mxnet.gluon.block import HybridBlock

from a2net_gluon.blocks.attention_ops import attention_widths, expansion, flatten, unflatten
from a2net_gluon.blocks.preactivation import PreActivationConv, batch_norm, check_ndim
from a2net_gluon.mxnet_fixes import Array

__all__ = ["ATTENTION_MAPS", "NonLocal"]

# Name of the node that holds the attention map, after the block's prefix, as in `a2net_gluon.blocks.double_attention`.
ATTENTION_MAPS = "attention_maps"  # (N, L, L), row i has the weights of all locations for location i; it sums to 1


class NonLocal(HybridBlock):
    r"""Non-local block: every location receives a weighted average of all locations.

    With L = h·w (images) or t·h·w (clips) locations,

    .. math::
        z_i = \sum_{j=1}^{L} \mathrm{softmax}_j\left(\theta(x_i)^\top \phi(x_j)\right) g(x_j)

    and the output is ``X + expand(Z)``. The letters are Wang et al.'s: here g(X) holds the values, which the double
    attention block calls φ(X). All four convolutions are BN → ReLU → 1×1 convolution without bias, as in
    `a2net_gluon.DoubleAttention`, so that both blocks have the same number of parameters, as in Tables 2 and 3 of the
    A²-Nets paper. (Wang et al. put one BN after the last convolution instead.)

    The products cost (m + n)·L² multiply-adds and the map L² values, where double attention needs 2·m·n·L and m·n.

    Parameters
    ----------
    channels : int
        c, width of input and output.
    value_channels : int, optional
        m, width of g(X); default: ``channels // 2``.
    attention_channels : int, optional
        n, width of θ(X) and φ(X); default: ``channels // 2``.
    ndim : {2, 3}
        2 for images (N, c, h, w), 3 for clips (N, c, t, h, w).
    identity_start : bool
        Start as the identity: the weight of the output convolution starts at zero.
    norm_layer, norm_kwargs
        Normalization layer, as in `a2net_gluon.blocks.batch_norm`.

    Inputs
    ------
    x : (N, c, h, w) or (N, c, t, h, w), any size

    Outputs
    -------
    Same shape as `x`.

    Raises
    ------
    ValueError
        If a width is not a positive whole number, or `ndim` is neither 2 nor 3.
    """

    def __init__(
        self,
        channels: int,
        value_channels: int | None = None,
        attention_channels: int | None = None,
        ndim: int = 2,
        identity_start: bool = False,
        norm_layer: type | None = None,
        norm_kwargs: dict[str, Any] | None = None,
        prefix: str | None = None,
        params: mx.gluon.ParameterDict | None = None,
    ) -> None:
        super().__init__(prefix=prefix, params=params)
        value_channels, attention_channels = attention_widths(channels, value_channels, attention_channels)
        check_ndim(ndim)
        self._ndim = ndim
        point = (1,) * ndim
        norm = batch_norm(norm_layer, norm_kwargs, ndim)
        # As in Wang et al.'s code. Scores are products over n channels without a scale: with larger weights the softmax
        # is one-hot from the start, and so sensitive that rounding errors change the third digit of the logits.
        scored = functools.partial(PreActivationConv, weight_initializer=mx.init.Normal(0.01))
        with self.name_scope():
            self.theta = scored(attention_channels, channels, point, norm=norm, prefix="theta__")
            self.phi = scored(attention_channels, channels, point, norm=norm, prefix="phi__")
            self.g = PreActivationConv(value_channels, channels, point, norm=norm, prefix="g__")
            self.expand = expansion(channels, value_channels, point, norm, identity_start)

    def hybrid_forward(self, F: ModuleType, x: Array) -> Array:  # noqa: D102, N803 (Gluon's)
        queries = flatten(F, self.theta(x), self._ndim)  # (N, n, L)
        keys = flatten(F, self.phi(x), self._ndim)  # (N, n, L)
        scores = F.batch_dot(queries, keys, transpose_a=True, name="scores")  # (N, L, L): θ(x_i)ᵀ φ(x_j)
        attention = F.softmax(scores, axis=-1, name=ATTENTION_MAPS)  # (N, L, L), over the locations j
        values = flatten(F, self.g(x), self._ndim)  # (N, m, L)
        z = F.batch_dot(values, attention, transpose_b=True, name="z")  # (N, m, L): sum over j
        return x + self.expand(unflatten(F, z, x, self._ndim))  # (N, m, h, w), then (N, c, h, w)
