"""BN → ReLU → convolution, the unit everything here is made of, for images (2-D) and clips (3-D).

He et al., "Identity Mappings in Deep Residual Networks" (ECCV 2016), in the form of the DPN code by the
paper's first author. Names of nodes and parameters follow that code: ``<name>__bn_gamma``,
``<name>__conv_weight``.
"""

import functools
import inspect

from mxnet.gluon import nn

from a2net_gluon.errors import UsageError

__all__ = [
    "PreActivationConv",
    "activation",
    "batch_norm",
    "check_ndim",
    "convolution",
    "global_average_pool",
    "max_pool",
]

# MXNet's symbol API and Gluon have different defaults for eps (1e-3, 1e-5). The paper's image code is written with
# symbols and leaves both at the operator's default, so these are its values.
BN_EPSILON = 1e-3
BN_MOMENTUM = 0.9

_CONVOLUTIONS = {2: nn.Conv2D, 3: nn.Conv3D}
_MAX_POOLS = {2: nn.MaxPool2D, 3: nn.MaxPool3D}
_GLOBAL_POOLS = {2: nn.GlobalAvgPool2D, 3: nn.GlobalAvgPool3D}


def check_ndim(ndim):
    """Raise a UsageError unless `ndim` is 2 or 3."""
    if ndim not in (2, 3):
        raise UsageError(f"ndim is {ndim!r}; it must be 2 (images) or 3 (clips)")


def _for_dimensions(table, ndim):
    check_ndim(ndim)
    return table[ndim]


class ClipBatchNorm(nn.BatchNorm):
    """BN of clips, (N, c, t, h, w), as BN of (N, c, t, h·w): the same numbers.

    On the CPU the backward pass of MXNet 1.9.1's BatchNorm fails for five dimensions ("Check failed: !is_view") as soon
    as oneDNN has given its gradient a layout of its own.
    """

    def hybrid_forward(self, F, x, **parameters):  # noqa: N803 (Gluon's)
        y = super().hybrid_forward(F, F.reshape(x, shape=(0, 0, 0, -1)), **parameters)  # (N, c, t, h·w)
        return F.reshape_like(y, x)


def batch_norm(norm_layer=None, norm_kwargs=None, ndim=2):
    """Return a factory ``norm(in_channels, prefix)`` of normalisation layers.

    Parameters
    ----------
    norm_layer : type, optional
        ``gluon.nn.BatchNorm`` unless given, for clips `ClipBatchNorm`; e.g. ``gluon.contrib.nn.SyncBatchNorm``.
    norm_kwargs : dict, optional
        Passed to the layer over the defaults epsilon 1e-3 and momentum 0.9.
    ndim : {2, 3}
        2 for images, 3 for clips.
    """
    own = nn.BatchNorm if ndim == 2 else ClipBatchNorm
    layer = own if norm_layer in (None, nn.BatchNorm) else norm_layer
    defaults = {"epsilon": BN_EPSILON, "momentum": BN_MOMENTUM}
    if not (isinstance(layer, type) and issubclass(layer, nn.BatchNorm)):
        # GroupNorm, which GluonCV's --use-gn passes, has no momentum.
        known = inspect.signature(layer).parameters
        defaults = {name: value for name, value in defaults.items() if name in known}
    return functools.partial(layer, **{**defaults, **(norm_kwargs or {})})


def activation(prefix):
    """ReLU as MXNet's Activation operator, which oneDNN accelerates (``F.relu`` is not one it knows)."""
    return nn.Activation("relu", prefix=prefix)


def convolution(channels, in_channels, kernel, stride, prefix, use_bias=False, **kwargs):
    """A "same"-padded convolution; `kernel` and `stride` are tuples, one number per dimension."""
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


def max_pool(kernel, stride, prefix):
    """A "same"-padded max pooling; `kernel` and `stride` are tuples, one number per dimension."""
    return _for_dimensions(_MAX_POOLS, len(kernel))(kernel, stride, tuple(k // 2 for k in kernel), prefix=prefix)


def global_average_pool(ndim, prefix):
    """Average over all locations."""
    return _for_dimensions(_GLOBAL_POOLS, ndim)(prefix=prefix)


class PreActivationConv(nn.HybridSequential):
    """BN → ReLU → convolution without bias.

    Parameters
    ----------
    channels, in_channels : int
        Width of the output and of the input.
    kernel, stride : tuple of int
        One number per dimension: ``(h, w)`` for images, ``(t, h, w)`` for clips. Padding keeps the size.
    norm : callable, optional
        A factory from `batch_norm`.
    weight_initializer : str or mxnet.init.Initializer, optional
        Of the convolution's weight. It sits on the parameter, so ``net.initialize(...)`` does not overrule it.
    prefix : str
        Start of the names of nodes and parameters.
    """

    def __init__(self, channels, in_channels, kernel, stride=None, norm=None, weight_initializer=None, prefix=None):
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
