"""MobileNetV2, a compact network for images, with context blocks wherever a placement puts them.

Sandler, Howard, Zhu, Zhmoginov, Chen: "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR 2018,
https://arxiv.org/abs/1801.04381; table and section numbers in this file are that paper's. Names are those of our
ResNet: each row of the table is a stage, conv2 to conv8, of units ``conv4_x__2`` with the convolutions ``c1x1-a``
(expansion), ``c3x3-b`` (depthwise) and ``c1x1-c`` (linear projection).
"""

import dataclasses
import typing

from mxnet.gluon import nn
from mxnet.gluon.block import HybridBlock

from a2net_gluon.blocks.preactivation import batch_norm, convolution, global_average_pool
from a2net_gluon.networks.placement import check_placement, stage_with_contexts

__all__ = ["MOBILENET_V2", "InvertedStage", "MobileArchitecture", "MobileNetV2"]


@dataclasses.dataclass(frozen=True)
class InvertedStage:
    """A row of Table 2: inverted residuals of one width.

    Attributes
    ----------
    expansion : int
        t, how many times wider than its input a unit is inside.
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
class MobileArchitecture:
    """A compact backbone: a 3×3 stem of stride 2, the stages from conv2 on, and a last 1×1 convolution.

    Attributes
    ----------
    stem_channels : int
    stages : tuple of InvertedStage
    last_channels : int
        Width of the pooled features.
    """

    stem_channels: int
    stages: typing.Tuple[InvertedStage, ...]
    last_channels: int

    def named_stages(self):
        """The stages by name: ``{"conv2": InvertedStage, "conv3": InvertedStage, …}``."""
        return {f"conv{number}": stage for number, stage in enumerate(self.stages, start=2)}

    def strides(self):
        """Stride of the stem and of each stage: one tuple of int each."""
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

    def hybrid_forward(self, F, x):  # noqa: N803 (Gluon's)
        return F.clip(x, 0, 6, name="fwd")


def _conv_norm(channels, in_channels, kernel, norm, prefix, stride=1, groups=1, nonlinear=True, **norm_kwargs):
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
    """1×1 expansion → 3×3 depthwise (carrying the stride) → linear 1×1; plus the input where the shapes agree."""

    def __init__(self, width, in_channels, expansion, stride, norm, last_gamma, prefix):
        super().__init__(prefix=prefix)
        inner = in_channels * expansion
        self._shortcut = stride == 1 and in_channels == width
        # The BN is the unit's last layer here, so a zero gamma lets the gradient through. Without a shortcut it would
        # stop the signal.
        start = {"gamma_initializer": "zeros"} if last_gamma and self._shortcut else {}
        with self.name_scope():
            # Table 2 gives the first stage t = 1, and the authors' code leaves out an expansion that does not expand.
            self.a = _conv_norm(inner, in_channels, 1, norm, "c1x1-a__") if expansion > 1 else None
            self.b = _conv_norm(inner, inner, 3, norm, "c3x3-b__", stride, groups=inner)
            self.c = _conv_norm(width, inner, 1, norm, "c1x1-c__", nonlinear=False, **start)

    def hybrid_forward(self, F, x):  # noqa: N803 (Gluon's)
        inner = x if self.a is None else self.a(x)
        branch = self.c(self.b(inner))
        return x + branch if self._shortcut else branch


class MobileNetV2(HybridBlock):
    """MobileNetV2 with optional context blocks.

    A context block stands on a unit's output, which is linear: there is no ReLU after a unit's last convolution.
    That is what a pre-activation block such as `a2net_gluon.DoubleAttention` expects.

    Parameters
    ----------
    architecture : MobileArchitecture
        The backbone, e.g. `MOBILENET_V2`.
    classes : int
        Width of the output.
    context : callable, optional
        ``context(stage, channels, ndim, prefix)`` returns a block that maps (N, channels, h, w) to the same shape;
        `stage` is the name of the stage it is for.
    placement : dict, optional
        Stage name, conv2 to conv8, to the units (from 1) after which a context block stands.
    last_gamma : bool
        Start each unit that has a shortcut as that shortcut: the gamma of its last BN starts at zero.
    norm_layer, norm_kwargs
        Normalisation layer, as in `a2net_gluon.blocks.batch_norm`; its defaults include the epsilon of the
        authors' code, 1e-3.
    prefix : str
        Start of every parameter's name, empty by default.

    Attributes
    ----------
    features, output : HybridBlock
        Everything up to the pooled features (N, channels), and the fully connected layer on them.
    classes : tuple of str or None
        Names of the classes, once pretrained parameters have brought them.

    Inputs
    ------
    x : (N, 3, h, w)

    Outputs
    -------
    (N, classes) logits, before the softmax.

    Raises
    ------
    ValueError
        If `placement` names a stage or unit the architecture does not have.
    """

    def __init__(
        self,
        architecture,
        classes,
        context=None,
        placement=None,
        last_gamma=False,
        norm_layer=None,
        norm_kwargs=None,
        prefix="",
        params=None,
    ):
        super().__init__(prefix=prefix, params=params)
        stages, last = architecture.named_stages(), f"conv{len(architecture.stages) + 2}"
        placement = placement or {}
        check_placement({name: stage.units for name, stage in stages.items()}, placement)
        self.classes = None
        self._context, self._last_gamma = context, last_gamma
        self._norm = batch_norm(norm_layer, norm_kwargs)
        channels = architecture.stem_channels
        with self.name_scope():
            self.features = nn.HybridSequential(prefix="")
            self.features.register_child(_conv_norm(channels, 3, 3, self._norm, "conv1_x_1__", stride=2), "conv1")
            for name, stage in stages.items():
                self.features.register_child(self._stage(name, stage, channels, placement.get(name, ())), name)
                channels = stage.width
            widest = _conv_norm(architecture.last_channels, channels, 1, self._norm, f"{last}_x_1__")
            self.features.register_child(widest, last)
            self.features.register_child(global_average_pool(2, prefix="pool_"), "pool")
            self.features.register_child(nn.Flatten(prefix="flatten_"), "flatten")
            self.output = nn.Dense(classes, in_units=architecture.last_channels, prefix="fc_")

    def hybrid_forward(self, F, x):  # noqa: D102, N803 (Gluon's)
        return self.output(self.features(x))

    def _stage(self, name, stage, in_channels, context_after):
        units = [
            _InvertedResidual(
                stage.width,
                in_channels if number == 1 else stage.width,
                stage.expansion,
                stage.stride if number == 1 else 1,
                self._norm,
                self._last_gamma,
                prefix=f"{name}_x__{number}_",
            )
            for number in range(1, stage.units + 1)
        ]
        return stage_with_contexts(
            name, units, lambda prefix: self._context(name, stage.width, 2, prefix=prefix), context_after
        )
