"""The paper's image ResNet for MXNet's Module API, as MXNet's example/image-classification loads networks."""

from __future__ import annotations

import typing

import mxnet as mx

from a2net_gluon.symbols import trace

_NETWORKS = {50: "resnet50", 152: "resnet152", 20: "resnet20_small"}


def get_symbol(
    num_classes: int,
    num_layers: int | None = 50,
    image_shape: str | tuple[int, ...] = "3,224,224",
    dtype: str = "float32",
    **kwargs: typing.Any,
) -> mx.sym.Symbol:
    """Return ResNet of 50 or 152 layers, or of 20 for small images, with the output ``softmax``; see `trace`."""
    return trace.get_symbol(_NETWORKS, num_classes, num_layers, image_shape, dtype, **kwargs)
