"""What attention blocks share: locations in a row, bilinear pooling, widths, the output convolution.

Equation numbers are those of Chen et al., "A²-Nets: Double Attention Networks" (NeurIPS 2018). docs/networks.md shows
how each block is a gathering and a distribution, the paper's Eq. 1.
"""

from a2net_gluon.blocks.preactivation import PreActivationConv
from a2net_gluon.errors import check_counts

__all__ = ["attention_widths", "bilinear_pooling", "expansion", "flat", "unflat"]


def bilinear_pooling(F, a, b, name=None):  # noqa: N803 (Gluon's)
    r"""Bilinear pooling, ``G = A Bᵀ = Σ_i a_i b_iᵀ`` over all locations i (Eq. 2).

    With a B whose rows are a softmax over the locations it is second-order attention pooling (Eq. 4): each of the n
    columns of G is a weighted average of the features A.

    Parameters
    ----------
    F : mxnet.nd or mxnet.sym
    a : (N, m, L)
    b : (N, n, L)
    name : str, optional
        Of the node in a graph.

    Returns
    -------
    (N, m, n)
    """
    return F.batch_dot(a, b, transpose_b=True, name=name)


def flat(F, x, ndim):  # noqa: N803
    """All locations in a row: (N, channels, …) with `ndim` lengths to (N, channels, L)."""
    if ndim == 3:
        # A copy in the plain order. In a static graph on the CPU, MXNet 1.9.1 reshapes a clip that oneDNN has laid out
        # in its own way, and the next operator reads it wrongly: an error, a crash, or silently other numbers.
        x = F.transpose(x, axes=(0, 1, 2, 3, 4))
    return F.reshape(x, shape=(0, 0, -1))


def unflat(F, z, like, ndim):  # noqa: N803
    """Undo `flat`: (N, channels, L) with the `ndim` lengths of `like`."""
    return F.reshape_like(z, like, lhs_begin=2, lhs_end=3, rhs_begin=2, rhs_end=2 + ndim)


def expansion(channels, value_channels, point, norm, identity_start):
    """The output convolution of an attention block; with `identity_start` its weight starts at zero."""
    initializer = "zeros" if identity_start else None
    return PreActivationConv(
        channels, value_channels, point, norm=norm, weight_initializer=initializer, prefix="expand__"
    )


def attention_widths(channels, value_channels, attention_channels):
    """The widths m and n of an attention block, half of `channels` where they are None; ValueError for bad ones."""
    check_counts(channels=channels)
    value_channels = channels // 2 if value_channels is None else value_channels
    attention_channels = channels // 2 if attention_channels is None else attention_channels
    check_counts(value_channels=value_channels, attention_channels=attention_channels)
    return value_channels, attention_channels
