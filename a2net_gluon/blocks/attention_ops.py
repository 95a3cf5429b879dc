"""Parts that attention blocks share: locations in a row, bilinear pooling, widths, the output convolution.

Equation numbers are those of Chen et al., "A²-Nets: Double Attention Networks" (NeurIPS 2018). docs/networks.md shows
how each block is a gathering and a distribution, the paper's Eq. 1.
"""

from __future__ import annotations

from types import ModuleType

from a2net_gluon.blocks.preactivation import NormFactory, PreActivationConv
from a2net_gluon.errors import check_counts
from a2net_gluon.mxnet_fixes import Array, copy_to_plain_layout

__all__ = ["attention_widths", "bilinear_pooling", "expansion", "flatten", "unflatten"]


def bilinear_pooling(F: ModuleType, a: Array, b: Array, name: str | None = None) -> Array:  # noqa: N803 (Gluon's)
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


def flatten(F: ModuleType, x: Array, ndim: int) -> Array:  # noqa: N803
    """Put all locations in a row: (N, channels, …) with `ndim` lengths becomes (N, channels, L)."""
    if ndim == 3:
        x = copy_to_plain_layout(F, x)
    return F.reshape(x, shape=(0, 0, -1))


def unflatten(F: ModuleType, z: Array, like: Array, ndim: int) -> Array:  # noqa: N803
    """Undo `flatten`: (N, channels, L) gets the `ndim` lengths of `like`."""
    return F.reshape_like(z, like, lhs_begin=2, lhs_end=3, rhs_begin=2, rhs_end=2 + ndim)


def expansion(
    channels: int, value_channels: int, point: tuple[int, ...], norm: NormFactory, identity_start: bool
) -> PreActivationConv:
    """Build the output convolution of an attention block; with `identity_start` its weight starts at zero."""
    initializer = "zeros" if identity_start else None
    return PreActivationConv(
        channels, value_channels, point, norm=norm, weight_initializer=initializer, prefix="expand__"
    )


def attention_widths(channels: int, value_channels: int | None, attention_channels: int | None) -> tuple[int, int]:
    """Return the widths m and n of an attention block; None is half of `channels`, a bad width is a ValueError."""
    check_counts(channels=channels)
    value_channels = channels // 2 if value_channels is None else value_channels
    attention_channels = channels // 2 if attention_channels is None else attention_channels
    check_counts(value_channels=value_channels, attention_channels=attention_channels)
    return value_channels, attention_channels
