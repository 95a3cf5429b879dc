"""The squeeze-and-excitation block, the paper's comparison in its Table 4.

Hu, Shen, Sun: "Squeeze-and-Excitation Networks", CVPR 2018, https://arxiv.org/abs/1709.01507.
"""

from __future__ import annotations

from types import ModuleType

import mxnet as mx
from mxnet.gluon.block import HybridBlock

from a2net_gluon.blocks.preactivation import activation, check_ndim, convolution, global_average_pool
from a2net_gluon.errors import check_counts
from a2net_gluon.mxnet_fixes import Array

__all__ = ["REDUCTION", "SqueezeExcitation"]

REDUCTION = 16  # Hu et al.'s r


class SqueezeExcitation(HybridBlock):
    r"""Squeeze-and-excitation: scale each channel by a factor computed from the averages of all channels.

    With the average over the L locations,

    .. math::
        s = \sigma\left(W_2\,\mathrm{ReLU}\left(W_1\,\tfrac{1}{L}\textstyle\sum_i x_i + b_1\right) + b_2\right),
        \qquad z_i = s \odot x_i

    Both fully connected layers are 1×1 convolutions with bias, without BN, as in the authors' code: their input is one
    vector per image. There is no "+ X" here, because the block stands on a residual branch, before the addition, see
    `a2net_gluon.networks.ResNet`.

    Parameters
    ----------
    channels : int
        c, width of input and output.
    squeezed_channels : int, optional
        Width between the two layers; default: ``channels // 16``.
    ndim : {2, 3}
        2 for images (N, c, h, w), 3 for clips (N, c, t, h, w).

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
        squeezed_channels: int | None = None,
        ndim: int = 2,
        prefix: str | None = None,
        params: mx.gluon.ParameterDict | None = None,
    ) -> None:
        super().__init__(prefix=prefix, params=params)
        check_counts(channels=channels)
        squeezed_channels = channels // REDUCTION if squeezed_channels is None else squeezed_channels
        check_counts(squeezed_channels=squeezed_channels)
        check_ndim(ndim)
        point = (1,) * ndim
        with self.name_scope():
            self.pool = global_average_pool(ndim, prefix="pool_")
            self.squeeze = convolution(squeezed_channels, channels, point, point, "squeeze__conv_", use_bias=True)
            self.relu = activation("relu_")
            self.excite = convolution(channels, squeezed_channels, point, point, "excite__conv_", use_bias=True)

    def hybrid_forward(self, F: ModuleType, x: Array) -> Array:  # noqa: D102, N803 (Gluon's)
        average = self.pool(x)  # (N, c, 1, 1)
        squeezed = self.relu(self.squeeze(average))  # (N, c/16, 1, 1)
        scale = F.sigmoid(self.excite(squeezed), name="scale")  # (N, c, 1, 1), from 0 to 1
        return F.broadcast_mul(x, scale)  # (N, c, h, w): the same scale at every location
