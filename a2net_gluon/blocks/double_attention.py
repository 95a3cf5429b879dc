"""The double attention block.

Chen, Kalantidis, Li, Yan, Feng: "A²-Nets: Double Attention Networks", NeurIPS 2018, section 2. Equation numbers
in this file are the paper's.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import mxnet as mx
from mxnet.gluon.block import HybridBlock

from a2net_gluon.blocks.attention_ops import attention_widths, bilinear_pooling, expansion, flatten, unflatten
from a2net_gluon.blocks.preactivation import PreActivationConv, batch_norm, check_ndim
from a2net_gluon.errors import UsageError
from a2net_gluon.mxnet_fixes import Array

__all__ = [
    "ASSOCIATIONS",
    "DISTRIBUTED",
    "DISTRIBUTIONS",
    "DISTRIBUTION_MAPS",
    "GATHERINGS",
    "GATHERING_MAPS",
    "RELATION",
    "DoubleAttention",
    "cheaper_association",
]

ASSOCIATIONS = ("left", "right")
# What each of the two steps is, and what it is with its attention taken out, to measure what that is worth.
GATHERINGS = ("attention", "bilinear")
DISTRIBUTIONS = ("attention", "uniform")

# Names of nodes: a block with prefix P names them P + GATHERING_MAPS and so on. They can be picked from the internals
# of the traced symbol, which leaves the output of the graph unchanged.
GATHERING_MAPS = "gathering_maps"  # (N, n, L), every row sums to 1 over the L locations
DISTRIBUTION_MAPS = "distribution_maps"  # (N, L, n), every row sums to 1 over the n descriptors
RELATION = "relation"  # (N, L, L), the first product of the right association
DISTRIBUTED = "z"  # (N, m, L), the second product


def cheaper_association(value_channels: int, attention_channels: int, locations: int) -> str:
    """Return the association with fewer multiply-adds: left, 2·m·n·L (Eq. 6), or right, (m + n)·L² (Eq. 7)."""
    m, n = value_channels, attention_channels
    return "left" if 2 * m * n <= (m + n) * locations else "right"


class DoubleAttention(HybridBlock):
    r"""Double attention: gather global descriptors from all locations, distribute a mixture of them to each location.

    With L = h·w (images) or t·h·w (clips) locations,

    .. math::
        Z = \left[\phi(X)\,\mathrm{softmax}(\theta(X))^\top\right] \mathrm{softmax}(\rho(X))   \qquad (6)

    and the output is ``X + expand(Z)``. The first softmax runs over the L locations, one map per row of θ(X)
    (Eq. 4); the second over the n channels, one vector per location (Eq. 5). φ, θ, ρ and expand are each
    BN → ReLU → 1×1 convolution with a BN of its own and no bias. The paper does not say so, but only this
    structure has the parameter counts of its Tables 2 and 3.

    Parameters
    ----------
    channels : int
        c, width of input and output.
    value_channels : int, optional
        m, width of φ(X), the gathered features; default: ``channels // 2``.
    attention_channels : int, optional
        n, width of θ(X) and ρ(X), the number of descriptors; default: ``channels // 2``.
    ndim : {2, 3}
        2 for images (N, c, h, w), 3 for clips (N, c, t, h, w).
    association : {"left", "right"}
        "left" multiplies as in Eq. 6 and stores m·n values; "right" as in Eq. 7 and stores L² values. The results are
        equal. "left" stores less if L² > m·n; `cheaper_association` compares multiply-adds.
    gathering : {"attention", "bilinear"}
        "bilinear" leaves out the first softmax: each descriptor is a sum of the features of all locations with weights
        of any size and sign, the bilinear pooling of Eq. 2. It has the parameters of "attention".
    distribution : {"attention", "uniform"}
        "uniform" gives all locations the same average of all descriptors, as squeeze-and-excitation gives all of them
        the same factors; the block then has no ρ.
    identity_start : bool
        Start as the identity, for a network that is already trained: the weight of the output convolution starts
        at zero. (A zero gamma in the BN before it would stop the gradient of the branch at the ReLU permanently.)
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
        If a width is not a positive whole number, or another argument is none of its values.
    """

    def __init__(
        self,
        channels: int,
        value_channels: int | None = None,
        attention_channels: int | None = None,
        ndim: int = 2,
        association: str = "left",
        gathering: str = "attention",
        distribution: str = "attention",
        identity_start: bool = False,
        norm_layer: type | None = None,
        norm_kwargs: dict[str, Any] | None = None,
        prefix: str | None = None,
        params: mx.gluon.ParameterDict | None = None,
    ) -> None:
        super().__init__(prefix=prefix, params=params)
        value_channels, attention_channels = attention_widths(channels, value_channels, attention_channels)
        for name, value, values in (
            ("association", association, ASSOCIATIONS),
            ("gathering", gathering, GATHERINGS),
            ("distribution", distribution, DISTRIBUTIONS),
        ):
            if value not in values:
                raise UsageError(f"{name} is {value!r}; it must be one of {', '.join(values)}")
        check_ndim(ndim)
        self._ndim = ndim
        self._association, self.gathering, self.distribution = association, gathering, distribution
        point = (1,) * ndim
        norm = batch_norm(norm_layer, norm_kwargs, ndim)
        with self.name_scope():
            self.phi = PreActivationConv(value_channels, channels, point, norm=norm, prefix="phi__")
            self.theta = PreActivationConv(attention_channels, channels, point, norm=norm, prefix="theta__")
            self.rho = None
            if distribution == "attention":
                self.rho = PreActivationConv(attention_channels, channels, point, norm=norm, prefix="rho__")
            self.expand = expansion(channels, value_channels, point, norm, identity_start)

    def hybrid_forward(self, F: ModuleType, x: Array) -> Array:  # noqa: D102, N803 (Gluon's)
        values = flatten(F, self.phi(x), self._ndim)  # A: (N, m, L)
        gathering = flatten(F, self.theta(x), self._ndim)  # B: (N, n, L)
        # All weights are equal in a softmax of zeros.
        rho = F.zeros_like(gathering) if self.rho is None else flatten(F, self.rho(x), self._ndim)
        # MXNet's softmax over the last axis is about 20 times faster than over axis 1: transpose V first.
        per_location = F.transpose(rho, axes=(0, 2, 1))
        distribution = F.softmax(per_location, axis=-1, name=DISTRIBUTION_MAPS)  # Eq. 5: (N, L, n)
        if self.gathering == "attention":
            gathering = F.softmax(gathering, axis=-1, name=GATHERING_MAPS)  # Eq. 4
        if self._association == "left":  # Eq. 6
            descriptors = bilinear_pooling(F, values, gathering, name="descriptors")  # Eq. 2, G: (N, m, n)
            z = F.batch_dot(descriptors, distribution, transpose_b=True, name=DISTRIBUTED)  # (N, m, L)
        else:  # Eq. 7
            relation = F.batch_dot(gathering, distribution, transpose_a=True, transpose_b=True, name=RELATION)
            z = F.batch_dot(values, relation, name=DISTRIBUTED)  # (N, m, L) from (N, m, L) and (N, L, L)
        return x + self.expand(unflatten(F, z, x, self._ndim))  # (N, m, h, w), then (N, c, h, w)
