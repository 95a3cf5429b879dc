"""BN → ReLU → convolution, the unit of all blocks and of ResNet, for images (2-D) and clips (3-D).

He et al., "Identity Mappings in Deep Residual Networks" (ECCV 2016), in the form of the DPN code by the
paper's first author. Names of nodes and parameters follow that code: ``<name>__bn_gamma``,
``<name>__conv_weight``.
"""

from __future__ import annotations

import functools
import inspect
import typing
from types import ModuleType

import mxnet as mx
from mxnet.gluon import nn

from a2net_gluon.errors import UsageError
from a2net_gluon.mxnet_fixes import Array, ClipBatchNorm

__all__ = [
    "Flatten",
    "NormFactory",
    "PreActivationConv",
    "activation",
    "batch_norm",
    "check_ndim",
    "convolution",
    "global_average_pool",
    "max_pool",
]

# MXNet's symbol API and Gluon have different defaults for epsilon (1e-3, 1e-5). The paper's image code is written with
# symbols and leaves both values at the defaults of the operator, which are these.
BN_EPSILON = 1e-3
BN_MOMENTUM = 0.9

_CONVOLUTIONS = {2: nn.Conv2D, 3: nn.Conv3D}
_MAX_POOLS = {2: nn.MaxPool2D, 3: nn.MaxPool3D}
_GLOBAL_POOLS = {2: nn.GlobalAvgPool2D, 3: nn.GlobalAvgPool3D}


NormFactory = typing.Callable[..., mx.gluon.HybridBlock]  # norm(in_channels=…, prefix=…, **options)


def check_ndim(ndim: int) -> None:
    """Raise a UsageError unless `ndim` is 2 or 3."""
    if ndim not in (2, 3):
        raise UsageError(f"ndim is {ndim!r}; it must be 2 (images) or 3 (clips)")


def _for_dimensions(table: dict[int, typing.Any], ndim: int) -> typing.Any:
    check_ndim(ndim)
    return table[ndim]


def batch_norm(
    norm_layer: type | None = None, norm_kwargs: dict[str, typing.Any] | None = None, ndim: int = 2
) -> functools.partial[mx.gluon.HybridBlock]:
    """Return a factory ``norm(in_channels, prefix)`` of normalization layers.

    Parameters
    ----------
    norm_layer : type, optional
        Default: ``gluon.nn.BatchNorm``, which for clips is `a2net_gluon.mxnet_fixes.ClipBatchNorm`. Another is, for
        example, ``gluon.contrib.nn.SyncBatchNorm``.
    norm_kwargs : dict, optional
        Arguments of the layer; default: epsilon 1e-3 and momentum 0.9.
    ndim : {2, 3}
        2 for images, 3 for clips.
    """
    own = nn.BatchNorm if ndim == 2 else ClipBatchNorm
    layer: typing.Any = own if norm_layer in (None, nn.BatchNorm) else norm_layer
    defaults = {"epsilon": BN_EPSILON, "momentum": BN_MOMENTUM}
    if not (isinstance(layer, type) and issubclass(layer, nn.BatchNorm)):
        # GroupNorm, which GluonCV's --use-gn passes, has no momentum.
        known = inspect.signature(layer).parameters
        defaults = {name: value for name, value in defaults.items() if name in known}
    return functools.partial(layer, **{**defaults, **(norm_kwargs or {})})


def activation(prefix: str) -> nn.Activation:
    """ReLU as MXNet's Activation operator, which oneDNN accelerates; it does not accelerate ``F.relu``."""
    return nn.Activation("relu", prefix=prefix)


def convolution(
    channels: int,
    in_channels: int,
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    prefix: str,
    use_bias: bool = False,
    **kwargs: typing.Any,
) -> mx.gluon.HybridBlock:
    """A "same"-padded convolution; `kernel` and `stride` have one number per dimension."""
    return _for_dimensions(_CONVOLUTIONS, len(kernel))(
        channels,
        kernel,
        strides=stride,
        padding=tuple(k // 2 for k in kernel),
        in_channels=in_channels,
        use_bias=use_bias,
        prefix=prefix,
        **kwargs,
    )


def max_pool(kernel: tuple[int, ...], stride: tuple[int, ...], prefix: str) -> mx.gluon.HybridBlock:
    """A "same"-padded max pooling; `kernel` and `stride` have one number per dimension."""
    return _for_dimensions(_MAX_POOLS, len(kernel))(kernel, stride, tuple(k // 2 for k in kernel), prefix=prefix)


def global_average_pool(ndim: int, prefix: str) -> mx.gluon.HybridBlock:
    """The average over all locations."""
    return _for_dimensions(_GLOBAL_POOLS, ndim)(prefix=prefix)


class Flatten(nn.Flatten):
    """(N, channels, 1, …) becomes (N, channels), in a node called ``flatten0``.

    It is the name that MXNet's ``fine-tune.py`` looks for to put a new output layer in the place of the old one.
    """

    def hybrid_forward(self, F: ModuleType, x: Array) -> Array:  # noqa: D102, N803 (Gluon's)
        return F.flatten(x, name="flatten0")


class PreActivationConv(nn.HybridSequential):
    """BN → ReLU → convolution without bias.

    Parameters
    ----------
    channels, in_channels : int
        Widths of the output and of the input.
    kernel, stride : tuple of int
        One number per dimension: ``(h, w)`` for images, ``(t, h, w)`` for clips. Padding preserves the size.
    norm : callable, optional
        A factory from `batch_norm`.
    weight_initializer : str or mxnet.init.Initializer, optional
        For the weight of the convolution. It belongs to the parameter, so ``net.initialize(...)`` does not override it.
    prefix : str
        Start of the names of nodes and parameters.
    """

    def __init__(
        self,
        channels: int,
        in_channels: int,
        kernel: tuple[int, ...],
        stride: tuple[int, ...] | None = None,
        norm: NormFactory | None = None,
        weight_initializer: str | mx.init.Initializer | None = None,
        prefix: str | None = None,
    ) -> None:
        super().__init__(prefix=prefix)
        norm = norm or batch_norm(ndim=len(kernel))
        stride = stride or (1,) * len(kernel)
        with self.name_scope():
            parts = {
                "bn": norm(in_channels=in_channels, prefix="bn_"),
                "relu": activation("relu_"),
                "conv": convolution(
                    channels, in_channels, kernel, stride, "conv_", weight_initializer=weight_initializer
                ),
            }
        for name, part in parts.items():
            self.register_child(part, name)
