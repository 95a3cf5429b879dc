"""One pre-activation ResNet for images and clips, with context blocks wherever a table puts them.

The backbone is described by an `Architecture`; a placement such as ``{"conv3": (2, 4), "conv4": (2, 4, 6)}`` says
after which residual units (counted from 1) a context block stands; squeeze-and-excitation stands in the units it names,
on the residual branch. Structure and names follow the DPN code by the
paper's first author: stages conv2 to conv5, units ``conv3_x__2``, their three convolutions ``c1x1-a``, ``c3x3-b``
and ``c1x1-c``, and the projection ``c1x1-w`` of a stage's first unit.
"""

import dataclasses
import functools
import typing

from mxnet.gluon import nn
from mxnet.gluon.block import HybridBlock

from a2net_gluon.blocks.preactivation import (
    PreActivationConv,
    activation,
    batch_norm,
    convolution,
    global_average_pool,
    max_pool,
)
from a2net_gluon.networks.placement import check_placement, stage_with_contexts

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
    kernels: typing.Tuple[typing.Tuple[int, ...], ...]
    stride: typing.Tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Architecture:
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
    stem_kernel: typing.Tuple[int, ...]
    stem_stride: typing.Tuple[int, ...]
    pool_stride: typing.Optional[typing.Tuple[int, ...]]
    stages: typing.Tuple[Stage, ...]

    @property
    def ndim(self):
        """2 for images, 3 for clips."""
        return len(self.stem_kernel)

    def named_stages(self):
        """The stages under the paper's names: ``{"conv2": Stage, "conv3": Stage, …}``."""
        return {f"conv{number}": stage for number, stage in enumerate(self.stages, start=2)}

    def strides(self):
        """Stride of the stem, of its pooling, and of each stage: one tuple of int each."""
        return [self.stem_stride, self.pool_stride or (1,) * self.ndim, *(stage.stride for stage in self.stages)]


def image_stages(units, widths):
    """Stages of 3×3 units for images; every stage after the first halves the size."""
    return tuple(
        Stage(width, ((3, 3),) * count, (1, 1) if number == 0 else (2, 2))
        for number, (count, width) in enumerate(zip(units, widths))
    )


def clip_stages(temporal, widths, strides):
    """Stages of k×3×3 units for clips: `temporal` has the k of every unit, stage by stage."""
    return tuple(
        Stage(width, tuple((k, 3, 3) for k in kernels), stride)
        for kernels, width, stride in zip(temporal, widths, strides)
    )


class _Unit(HybridBlock):
    """Pre-activation bottleneck: 1×1 → 3×3 (carrying the stride) → 1×1, plus the input or its projection.

    A `context` is built at the end of the residual branch, before the addition.
    """

    def __init__(self, width, in_channels, kernel, stride, project, norm, last_gamma, context, prefix):
        super().__init__(prefix=prefix)
        point, inner = (1,) * len(kernel), width // BOTTLENECK
        size = "x".join(str(k) for k in kernel[-2:])
        with self.name_scope():
            self.a = PreActivationConv(inner, in_channels, point, norm=norm, prefix="c1x1-a__")
            self.b = PreActivationConv(inner, inner, kernel, stride, norm=norm, prefix=f"c{size}-b__")
            # A unit that starts as the identity: there is no BN after the last convolution whose gamma could be
            # zero, and a zero gamma before its ReLU would stop the gradient, so the weight starts at zero.
            self.c = PreActivationConv(
                width, inner, point, norm=norm, prefix="c1x1-c__", weight_initializer="zeros" if last_gamma else None
            )
            self.w = (
                PreActivationConv(width, in_channels, point, stride, norm=norm, prefix="c1x1-w__") if project else None
            )
            self.context = context(prefix="context__") if context else None

    def hybrid_forward(self, F, x):  # noqa: N803 (Gluon's)
        shortcut = self.w(x) if self.w is not None else x
        branch = self.c(self.b(self.a(x)))
        return shortcut + (self.context(branch) if self.context is not None else branch)


class ResNet(HybridBlock):
    """Pre-activation ResNet with optional context blocks.

    Parameters
    ----------
    architecture : Architecture
        The backbone.
    classes : int
        Width of the output.
    context : callable, optional
        ``context(stage, channels, ndim, prefix)`` returns a block that maps (N, channels, …) to the same shape; `stage`
        is the name of the stage it is for.
    placement : dict, optional
        Stage name to the units (from 1) after which a context block stands.
    on_branch : bool
        Context blocks stand in those units instead: at the end of the residual branch, before the addition. It is where
        squeeze-and-excitation belongs: after the addition its scales, all below 1, would shrink the shortcut too, unit
        by unit.
    last_gamma : bool
        Start each residual unit as its shortcut (GluonCV's flag of this name; here the last convolution's weight
        starts at zero, since the last BN stands before it).
    norm_layer, norm_kwargs
        Normalisation layer, as in `a2net_gluon.blocks.batch_norm`.
    prefix : str
        Start of every parameter's name; empty by default, so that the names are those of the DPN code.

    Attributes
    ----------
    features, output : HybridBlock
        Everything up to the pooled features (N, channels), and the fully connected layer on them.
    classes : tuple of str or None
        Names of the classes, once pretrained parameters have brought them.

    Inputs
    ------
    x : (N, 3, h, w) for images, (N, 3, t, h, w) for clips

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
        on_branch=False,
        last_gamma=False,
        norm_layer=None,
        norm_kwargs=None,
        prefix="",
        params=None,
    ):
        super().__init__(prefix=prefix, params=params)
        placement = placement or {}
        check_placement({name: len(stage.kernels) for name, stage in architecture.named_stages().items()}, placement)
        self.classes = None
        self._context, self._on_branch, self._last_gamma = context, on_branch, last_gamma
        self._norm = batch_norm(norm_layer, norm_kwargs, architecture.ndim)
        with self.name_scope():
            self.features = nn.HybridSequential(prefix="")
            channels = self._add_stem(architecture)
            for name, stage in architecture.named_stages().items():
                self._add_stage(name, stage, channels, placement.get(name, ()))
                channels = stage.width
            self._add_tail(architecture.ndim, channels)
            self.output = nn.Dense(classes, in_units=channels, prefix="fc_")

    def hybrid_forward(self, F, x):  # noqa: D102, N803 (Gluon's)
        return self.output(self.features(x))

    def _add_stem(self, architecture):
        channels = architecture.stem_channels
        stem = convolution(channels, 3, architecture.stem_kernel, architecture.stem_stride, "conv1_x_1__conv_")
        # The paper's parameter counts (its Tables 2 and 3, and 33.0 M) need a BN here.
        self.features.register_child(stem, "conv1")
        self.features.register_child(self._norm(in_channels=channels, prefix="conv1_x_1__bn_"), "conv1_bn")
        self.features.register_child(activation("conv1_x_1__relu_"), "conv1_relu")
        if architecture.pool_stride:
            pool = max_pool((1, 3, 3)[-architecture.ndim :], architecture.pool_stride, "pool1_")
            self.features.register_child(pool, "pool1")
        return channels

    def _add_stage(self, name, stage, in_channels, with_context):
        context = functools.partial(self._context, name, stage.width, len(stage.stride)) if self._context else None
        units = []
        for number, kernel in enumerate(stage.kernels, start=1):
            first = number == 1
            unit = _Unit(
                stage.width,
                in_channels if first else stage.width,
                kernel,
                stage.stride if first else (1,) * len(kernel),
                project=first,
                norm=self._norm,
                last_gamma=self._last_gamma,
                context=context if self._on_branch and number in with_context else None,
                prefix=f"{name}_x__{number}_",
            )
            units.append(unit)
        sequence = stage_with_contexts(name, units, context, () if self._on_branch else with_context)
        self.features.register_child(sequence, name)

    def _add_tail(self, ndim, channels):
        self.features.register_child(self._norm(in_channels=channels, prefix="tail__bn_"), "tail_bn")
        self.features.register_child(activation("tail__relu_"), "tail_relu")
        self.features.register_child(global_average_pool(ndim, prefix="pool5_"), "pool5")
        self.features.register_child(nn.Flatten(prefix="flatten_"), "flatten")
