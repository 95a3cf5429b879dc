"""One pre-activation ResNet for images and clips.

The backbone is described by an `Architecture`. Structure and names follow the DPN code by the paper's first author:
stages conv2 to conv5, units ``conv3_x__2``, their three convolutions ``c1x1-a``, ``c3x3-b`` and ``c1x1-c``, and the
projection ``c1x1-w`` of the first unit of a stage.
"""

from __future__ import annotations

import dataclasses
import typing
from types import ModuleType

from mxnet.gluon.block import HybridBlock

from a2net_gluon.blocks.preactivation import (
    Flatten,
    NormFactory,
    PreActivationConv,
    activation,
    convolution,
    global_average_pool,
    max_pool,
)
from a2net_gluon.mxnet_fixes import Array
from a2net_gluon.networks.architecture import Backbone
from a2net_gluon.networks.base import Layers, Network

__all__ = ["Architecture", "ResNet", "Stage", "clip_stages", "image_stages"]

BOTTLENECK = 4  # a unit's inner convolutions are a quarter of its width


@dataclasses.dataclass(frozen=True)
class Stage:
    """A row of residual units of one width.

    Attributes
    ----------
    width : int
        Output channels.
    kernels : tuple of tuple of int
        Kernel of the middle convolution, one for each unit.
    stride : tuple of int
        Of the first unit's middle convolution and projection.
    """

    width: int
    kernels: tuple[tuple[int, ...], ...]
    stride: tuple[int, ...]

    @property
    def units(self) -> int:
        """Number of units."""
        return len(self.kernels)


@dataclasses.dataclass(frozen=True)
class Architecture(Backbone):
    """A backbone: the stem's convolution and, where there is one, its 3×3 max pool; then the stages from conv2 on.

    Attributes
    ----------
    stem_channels : int
    stem_kernel, stem_stride : tuple of int
        One number per dimension; their length decides whether the network is for images or clips.
    pool_stride : tuple of int or None
        None: no max pool.
    stages : tuple of Stage
    """

    stem_channels: int
    stem_kernel: tuple[int, ...]
    stem_stride: tuple[int, ...]
    pool_stride: tuple[int, ...] | None
    stages: tuple[Stage, ...]

    @property
    def ndim(self) -> int:  # noqa: D102
        return len(self.stem_kernel)

    def strides(self) -> list[tuple[int, ...]]:  # noqa: D102
        return [self.stem_stride, self.pool_stride or (1,) * self.ndim, *(stage.stride for stage in self.stages)]


def image_stages(units: typing.Sequence[int], widths: typing.Sequence[int]) -> tuple[Stage, ...]:
    """Stages of 3×3 units for images; every stage after the first halves the size."""
    return tuple(
        Stage(width, ((3, 3),) * count, (1, 1) if number == 0 else (2, 2))
        for number, (count, width) in enumerate(zip(units, widths))
    )


def clip_stages(
    temporal: typing.Sequence[typing.Sequence[int]],
    widths: typing.Sequence[int],
    strides: typing.Sequence[tuple[int, ...]],
) -> tuple[Stage, ...]:
    """Stages of k×3×3 units for clips: `temporal` has the k of every unit, stage by stage."""
    return tuple(
        Stage(width, tuple((k, 3, 3) for k in kernels), stride)
        for kernels, width, stride in zip(temporal, widths, strides)
    )


class _Unit(HybridBlock):
    """Pre-activation bottleneck: 1×1 → 3×3 (with the stride) → 1×1, plus the input or its projection.

    A `context` block stands at the end of the residual branch, before the addition.
    """

    def __init__(
        self,
        width: int,
        in_channels: int,
        kernel: tuple[int, ...],
        stride: tuple[int, ...],
        project: bool,
        norm: NormFactory,
        last_gamma: bool,
        context: typing.Callable[..., HybridBlock] | None,
        prefix: str,
    ) -> None:
        super().__init__(prefix=prefix)
        point, inner = (1,) * len(kernel), width // BOTTLENECK
        size = "x".join(str(k) for k in kernel[-2:])
        with self.name_scope():
            self.a = PreActivationConv(inner, in_channels, point, norm=norm, prefix="c1x1-a__")
            self.b = PreActivationConv(inner, inner, kernel, stride, norm=norm, prefix=f"c{size}-b__")
            # For a unit that starts as its shortcut the weight is zero: no BN with a gamma follows the last
            # convolution, and a zero gamma before its ReLU would stop the gradient.
            self.c = PreActivationConv(
                width, inner, point, norm=norm, prefix="c1x1-c__", weight_initializer="zeros" if last_gamma else None
            )
            self.w = (
                PreActivationConv(width, in_channels, point, stride, norm=norm, prefix="c1x1-w__") if project else None
            )
            self.context = context(prefix="context__") if context else None

    def hybrid_forward(self, F: ModuleType, x: Array) -> Array:  # noqa: N803 (Gluon's)
        shortcut = self.w(x) if self.w is not None else x
        branch = self.c(self.b(self.a(x)))
        return shortcut + (self.context(branch) if self.context is not None else branch)


class ResNet(Network):
    """Pre-activation ResNet with optional context blocks; arguments are those of `a2net_gluon.networks.base.Network`.

    `architecture` is an `Architecture`. With `last_gamma` the weight of each unit's last convolution starts at zero,
    since the last BN of a unit stands before it. The prefix is empty by default, so that the names of parameters are
    those of the DPN code.

    Inputs
    ------
    x : (N, 3, h, w) for images, (N, 3, t, h, w) for clips
    """

    takes_context_on_branch = True

    def make_stem(self) -> Layers:  # noqa: D102
        architecture, channels = self.architecture, self.architecture.stem_channels
        layers: Layers = [
            ("conv1", convolution(channels, 3, architecture.stem_kernel, architecture.stem_stride, "conv1_x_1__conv_")),
            # The paper's parameter counts (its Tables 2 and 3, and 33.0 M) include a BN here.
            ("conv1_bn", self._norm(in_channels=channels, prefix="conv1_x_1__bn_")),
            ("conv1_relu", activation("conv1_x_1__relu_")),
        ]
        if architecture.pool_stride:
            layers.append(("pool1", max_pool((1, 3, 3)[-architecture.ndim :], architecture.pool_stride, "pool1_")))
        return layers

    def make_unit(  # noqa: D102
        self,
        stage: Stage,
        number: int,
        in_channels: int,
        context: typing.Callable[..., HybridBlock] | None,
        prefix: str,
    ) -> HybridBlock:
        kernel = stage.kernels[number - 1]
        return _Unit(
            stage.width,
            in_channels,
            kernel,
            stage.stride if number == 1 else (1,) * len(kernel),
            project=number == 1,
            norm=self._norm,
            last_gamma=self._last_gamma,
            context=context,
            prefix=prefix,
        )

    def make_tail(self) -> Layers:  # noqa: D102
        return [
            ("tail_bn", self._norm(in_channels=self.architecture.feature_channels, prefix="tail__bn_")),
            ("tail_relu", activation("tail__relu_")),
            ("pool5", global_average_pool(self.architecture.ndim, prefix="pool5_")),
            ("flatten", Flatten(prefix="")),
        ]
