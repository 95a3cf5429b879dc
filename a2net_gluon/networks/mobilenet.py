"""MobileNetV2, a compact network for images.

Sandler, Howard, Zhu, Zhmoginov, Chen: "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR 2018,
https://arxiv.org/abs/1801.04381; table and section numbers in this file are that paper's. Names follow those of
`a2net_gluon.networks.ResNet`: each row of the table is a stage, conv2 to conv8, of units ``conv4_x__2`` with the
convolutions ``c1x1-a`` (expansion), ``c3x3-b`` (depthwise) and ``c1x1-c`` (linear projection).
"""

from __future__ import annotations

import dataclasses
import typing
from types import ModuleType

from mxnet.gluon import nn
from mxnet.gluon.block import HybridBlock

from a2net_gluon.blocks.preactivation import Flatten, NormFactory, convolution, global_average_pool
from a2net_gluon.mxnet_fixes import Array
from a2net_gluon.networks.architecture import Backbone
from a2net_gluon.networks.base import Layers, Network

__all__ = ["MOBILENET_V2", "InvertedStage", "MobileArchitecture", "MobileNetV2"]


@dataclasses.dataclass(frozen=True)
class InvertedStage:
    """A row of Table 2: inverted residuals of one width.

    Attributes
    ----------
    expansion : int
        t, the ratio of a unit's inner width to its input's.
    width : int
        c, output channels.
    units : int
        n.
    stride : int
        s, of the first unit's depthwise convolution.
    """

    expansion: int
    width: int
    units: int
    stride: int


@dataclasses.dataclass(frozen=True)
class MobileArchitecture(Backbone):
    """A compact backbone: a 3×3 stem of stride 2, the stages from conv2 on, and a last 1×1 convolution.

    Attributes
    ----------
    stem_channels : int
    stages : tuple of InvertedStage
    last_channels : int
        Width of the pooled features.
    """

    stem_channels: int
    stages: tuple[InvertedStage, ...]
    last_channels: int

    @property
    def ndim(self) -> int:  # noqa: D102
        return 2

    @property
    def feature_channels(self) -> int:  # noqa: D102
        return self.last_channels

    def strides(self) -> list[tuple[int, ...]]:  # noqa: D102
        return [(2, 2), *((stage.stride,) * 2 for stage in self.stages)]


# Table 2, width multiplier 1.
MOBILENET_V2 = MobileArchitecture(
    32,
    (
        InvertedStage(1, 16, 1, 1),
        InvertedStage(6, 24, 2, 2),
        InvertedStage(6, 32, 3, 2),
        InvertedStage(6, 64, 4, 2),
        InvertedStage(6, 96, 3, 1),
        InvertedStage(6, 160, 3, 2),
        InvertedStage(6, 320, 1, 1),
    ),
    1280,
)


class _ReLU6(HybridBlock):
    """min(max(x, 0), 6), chosen in section 3.3 for its robustness in low precision."""

    def hybrid_forward(self, F: ModuleType, x: Array) -> Array:  # noqa: N803 (Gluon's)
        return F.clip(x, 0, 6, name="fwd")


def _conv_norm(
    channels: int,
    in_channels: int,
    kernel: int,
    norm: NormFactory,
    prefix: str,
    stride: int = 1,
    groups: int = 1,
    nonlinear: bool = True,
    **norm_kwargs: typing.Any,
) -> nn.HybridSequential:
    """Convolution → BN → ReLU6, or without the ReLU6 a linear layer."""
    block = nn.HybridSequential(prefix=prefix)
    with block.name_scope():
        weights = convolution(channels, in_channels, (kernel, kernel), (stride, stride), "conv_", groups=groups)
        block.register_child(weights, "conv")
        block.register_child(norm(in_channels=channels, prefix="bn_", **norm_kwargs), "bn")
        if nonlinear:
            block.register_child(_ReLU6(prefix="relu6_"), "relu6")
    return block


class _InvertedResidual(HybridBlock):
    """1×1 expansion → 3×3 depthwise (with the stride) → linear 1×1; plus the input if the shapes are equal."""

    def __init__(
        self,
        width: int,
        in_channels: int,
        expansion: int,
        stride: int,
        norm: NormFactory,
        last_gamma: bool,
        prefix: str,
    ) -> None:
        super().__init__(prefix=prefix)
        inner = in_channels * expansion
        self._shortcut = stride == 1 and in_channels == width
        # The BN is the last layer of the unit, so a zero gamma does not stop the gradient. Without a shortcut it would
        # stop the signal.
        start: dict[str, typing.Any] = {"gamma_initializer": "zeros"} if last_gamma and self._shortcut else {}
        with self.name_scope():
            # In Table 2 the first stage has t = 1; the authors' code has no expansion layer there.
            self.a = _conv_norm(inner, in_channels, 1, norm, "c1x1-a__") if expansion > 1 else None
            self.b = _conv_norm(inner, inner, 3, norm, "c3x3-b__", stride, groups=inner)
            self.c = _conv_norm(width, inner, 1, norm, "c1x1-c__", nonlinear=False, **start)

    def hybrid_forward(self, F: ModuleType, x: Array) -> Array:  # noqa: N803 (Gluon's)
        inner = x if self.a is None else self.a(x)
        branch = self.c(self.b(inner))
        return x + branch if self._shortcut else branch


class MobileNetV2(Network):
    """MobileNetV2 with optional context blocks; arguments are those of `a2net_gluon.networks.base.Network`.

    `architecture` is a `MobileArchitecture`, e.g. `MOBILENET_V2`. A context block stands on the output of a unit, which
    is linear: no ReLU follows the last convolution of a unit. Pre-activation blocks such as
    `a2net_gluon.DoubleAttention` expect such an input. With `last_gamma` the gamma of the last BN starts at zero in
    each unit that has a shortcut. The default epsilon of BN, 1e-3, is that of the authors' code.

    Inputs
    ------
    x : (N, 3, h, w)
    """

    def make_stem(self) -> Layers:  # noqa: D102
        return [("conv1", _conv_norm(self.architecture.stem_channels, 3, 3, self._norm, "conv1_x_1__", stride=2))]

    def make_unit(  # noqa: D102
        self,
        stage: InvertedStage,
        number: int,
        in_channels: int,
        context: typing.Callable[..., HybridBlock] | None,
        prefix: str,
    ) -> HybridBlock:
        stride = stage.stride if number == 1 else 1
        return _InvertedResidual(
            stage.width, in_channels, stage.expansion, stride, self._norm, self._last_gamma, prefix=prefix
        )

    def make_tail(self) -> Layers:  # noqa: D102
        name = f"conv{len(self.architecture.stages) + 2}"
        width, channels = self.architecture.stages[-1].width, self.architecture.feature_channels
        return [
            (name, _conv_norm(channels, width, 1, self._norm, f"{name}_x_1__")),
            ("pool", global_average_pool(2, prefix="pool_")),
            ("flatten", Flatten(prefix="")),
        ]
