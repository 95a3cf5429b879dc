"""The frame of a network: features and output, stages of units, context blocks after units or on their branches.

A network says only what its stem, its units and its tail are, and its architecture what its stages are.
"""

from __future__ import annotations

import functools
import typing
from types import ModuleType

import mxnet as mx
import numpy as np
from mxnet.gluon import nn
from mxnet.gluon.block import HybridBlock

from a2net_gluon.blocks.preactivation import batch_norm
from a2net_gluon.errors import UsageError
from a2net_gluon.mxnet_fixes import Array, RewritableBlock
from a2net_gluon.networks.architecture import UnitStage
from a2net_gluon.networks.folding import fold_clips
from a2net_gluon.networks.fusion import can_fuse, fuse_relu
from a2net_gluon.networks.placement import check_placement
from a2net_gluon.networks.products import multiply_by_matrices

__all__ = ["ContextFactory", "Layers", "Network", "Placement"]

Placement = typing.Mapping[str, typing.Sequence[int]]  # stage name to units, from 1
Layers = typing.List[typing.Tuple[str, HybridBlock]]  # children of `features`: name and block


class ContextFactory(typing.Protocol):
    """A factory of context blocks, which map (N, channels, …) to the same shape."""

    def __call__(self, stage: str, channels: int, ndim: int, *, prefix: str) -> HybridBlock:
        """Build a block for the stage called `stage`."""


class Network(RewritableBlock):
    """A network with optional context blocks; see the subclasses for inputs.

    Hybridized, it runs other graphs of the same numbers on the CPU in float32, one in training and one in inference:
    see `a2net_gluon.networks.folding` and `a2net_gluon.networks.fusion`. Its export and its symbol are not rewritten.

    Parameters
    ----------
    architecture : Backbone
    classes : int
        Width of the output.
    context : callable, optional
        ``context(stage, channels, ndim, prefix)`` returns a block that maps (N, channels, …) to the same shape; `stage`
        is the name of its stage.
    placement : dict, optional
        Stage name to the units (from 1) after which a context block stands.
    on_branch : bool
        Context blocks stand inside those units instead: at the end of the residual branch, before the addition. It is
        the place of squeeze-and-excitation: after the addition its scales, all below 1, would shrink the shortcut too,
        unit by unit. Only for networks with `takes_context_on_branch`.
    last_gamma : bool
        Start each unit as its shortcut (GluonCV's flag of this name).
    norm_layer, norm_kwargs
        Normalization layer, as in `a2net_gluon.blocks.batch_norm`.
    prefix : str
        Start of every parameter's name; default: empty.

    Attributes
    ----------
    features, output : HybridBlock
        All layers up to the pooled features (N, channels), and the fully connected layer on them.
    classes : tuple of str or None
        Names of the classes, if pretrained parameters name them.

    Outputs
    -------
    (N, classes) logits, before the softmax.

    Raises
    ------
    ValueError
        If `placement` names a stage or unit that the architecture does not have, or context blocks cannot be placed.
    """

    takes_context_on_branch = False

    def __init__(
        self,
        architecture: typing.Any,
        classes: int,
        context: ContextFactory | None = None,
        placement: Placement | None = None,
        on_branch: bool = False,
        last_gamma: bool = False,
        norm_layer: type | None = None,
        norm_kwargs: dict[str, typing.Any] | None = None,
        prefix: str = "",
        params: mx.gluon.ParameterDict | None = None,
    ) -> None:
        super().__init__(prefix=prefix, params=params)
        placement = {} if placement is None else placement
        stages = architecture.named_stages()
        check_placement({name: stage.units for name, stage in stages.items()}, placement)
        if placement and context is None:
            raise UsageError(f"placement is {placement!r}, but there is no context to place")
        if on_branch and not self.takes_context_on_branch:
            raise UsageError(f"{type(self).__name__} takes no context blocks on residual branches")
        self.classes: tuple[str, ...] | None = None
        self.architecture = architecture
        self._context, self._on_branch, self._last_gamma = context, on_branch, last_gamma
        self._norm = batch_norm(norm_layer, norm_kwargs, architecture.ndim)
        with self.name_scope():
            self.features = nn.HybridSequential(prefix="")
            self._add(self.make_stem())
            channels = architecture.stem_channels
            for name, stage in stages.items():
                self._add([(name, self._make_stage(name, stage, channels, placement.get(name, ())))])
                channels = stage.width
            self._add(self.make_tail())
            self.output = nn.Dense(classes, in_units=architecture.feature_channels, prefix="fc_")

    @property
    def norm(self) -> functools.partial[HybridBlock]:
        """The factory of the normalization layers: their class and its arguments."""
        return self._norm

    def hybrid_forward(self, F: ModuleType, x: Array) -> Array:  # noqa: D102, N803 (Gluon's)
        return self.output(self.features(x))

    def can_rewrite(self, x: mx.nd.NDArray) -> bool:  # noqa: D102
        return x.context.device_type == "cpu" and x.dtype == np.float32 and can_fuse()

    def rewritten(self, graph: mx.sym.Symbol, training: bool) -> mx.sym.Symbol:  # noqa: D102
        graph = fold_clips(graph, gradients=training)
        return fuse_relu(multiply_by_matrices(graph) if training else graph, gradients=training)

    def make_stem(self) -> Layers:
        """Build the layers before the first stage, with ``architecture.stem_channels`` output channels."""
        raise NotImplementedError

    def make_unit(
        self,
        stage: typing.Any,
        number: int,
        in_channels: int,
        context: typing.Callable[..., HybridBlock] | None,
        prefix: str,
    ) -> HybridBlock:
        """Build unit `number` (from 1) of `stage`; ``context(prefix)``, if not None, builds a block for its branch."""
        raise NotImplementedError

    def make_tail(self) -> Layers:
        """Build the layers from the last stage to the pooled features, (N, ``architecture.feature_channels``)."""
        raise NotImplementedError

    def _add(self, layers: Layers) -> None:
        for name, layer in layers:
            self.features.register_child(layer, name)

    def _make_stage(
        self, name: str, stage: UnitStage, in_channels: int, placed: typing.Sequence[int]
    ) -> nn.HybridSequential:
        """Build a stage: children ``unit1``, ``context1``, ``unit2``, …, with blocks at the units in `placed`."""
        sequence = nn.HybridSequential(prefix="")
        for number in range(1, stage.units + 1):
            context = None
            if self._context is not None and number in placed:
                context = functools.partial(self._context, name, stage.width, self.architecture.ndim)
            prefix = f"{name}_x__{number}_"
            unit = self.make_unit(stage, number, in_channels, context if self._on_branch else None, prefix)
            sequence.register_child(unit, f"unit{number}")
            if context is not None and not self._on_branch:
                sequence.register_child(context(prefix=f"{prefix}context__"), f"context{number}")
            in_channels = stage.width
        return sequence
