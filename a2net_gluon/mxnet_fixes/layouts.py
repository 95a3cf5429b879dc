"""Layouts in which oneDNN keeps arrays, and what MXNet computes wrongly in them."""

from __future__ import annotations

import math
import re
import typing
from types import ModuleType

import mxnet as mx
from mxnet.gluon import nn

__all__ = [
    "FUSED_BN_RELU",
    "Array",
    "ClipBatchNorm",
    "copy_to_plain_layout",
    "counts_values",
    "divides_by_zero",
    "has_onednn_layout",
]

Array = typing.Union[mx.nd.NDArray, mx.sym.Symbol]  # argument and result of operators, imperative or symbolic

FUSED_BN_RELU = "_contrib_BatchNormWithReLU"  # the operator's name in a graph
_LAYOUT_BLOCK = 16  # the most channels that oneDNN stores side by side


class ClipBatchNorm(nn.BatchNorm):
    """BN of clips, (N, c, t, h, w), as BN of (N, c, t, h·w): the same numbers.

    On the CPU the backward pass of MXNet 1.9.1's BatchNorm fails for five dimensions ("Check failed: !is_view") as soon
    as oneDNN has given its gradient a layout of its own.
    """

    def hybrid_forward(self, F: ModuleType, x: Array, **parameters: Array) -> Array:  # noqa: D102, N803 (Gluon's)
        y = super().hybrid_forward(F, F.reshape(x, shape=(0, 0, 0, -1)), **parameters)  # (N, c, t, h·w)
        return F.reshape_like(y, x)


def copy_to_plain_layout(F: ModuleType, x: Array) -> Array:  # noqa: N803 (Gluon's)
    """Copy a clip, (N, c, t, h, w), in the plain order of its values; needed before it is reshaped.

    In a static graph on the CPU, MXNet 1.9.1 reshapes a clip that oneDNN has given a layout of its own, and the next
    operator reads it wrongly: an error, a crash, or silently other numbers.
    """
    return F.transpose(x, axes=(0, 1, 2, 3, 4))


def has_onednn_layout(nodes: list[dict[str, typing.Any]], number: int) -> bool:
    """Whether oneDNN certainly chooses the layout of a node's output; only there `FUSED_BN_RELU` has right gradients.

    The backward pass of that operator in MXNet 1.9.1 converts its input to the layout of the gradient if the input has
    the plain layout; but its forward pass has stored the signs in the input's own layout. So BN must follow
    convolutions, pooling or sums of them, not reshaped arrays or products.

    Parameters
    ----------
    nodes : list of dict
        Of a graph, as in the symbol's JSON.
    number : int
        Of the node.
    """
    node = nodes[number]
    attributes = node.get("attrs", {})
    if node["op"] == "Convolution":
        return attributes.get("num_group", "1") == "1" and int(attributes["num_filter"]) % _LAYOUT_BLOCK == 0
    if node["op"] in ("elemwise_add", "Pooling", "Activation", "BatchNorm", FUSED_BN_RELU):
        data = node["inputs"] if node["op"] == "elemwise_add" else node["inputs"][:1]
        return all(has_onednn_layout(nodes, source) for source, *_ in data)
    return False


def counts_values(number: int) -> bool:
    """Whether MXNet can compute an array of so many values: operators of its releases count them in 32 bits."""
    return number < 2**31 - 1 or mx.runtime.Features().is_enabled("INT64_TENSOR_SIZE")


def divides_by_zero(node: dict[str, typing.Any], shape: typing.Sequence[int]) -> bool:
    """Whether a node of a graph is a convolution in which inference of MXNet 1.9.1 ends the process with SIGFPE.

    For 1×1 convolutions without a stride, on processors with AVX-512, oneDNN divides by the number of rows times the
    number of places times the number of sixteens of filters, of which it keeps 32 bits. All of them are zero, for
    example, for 64 filters on 1024×1024 or 512 filters on 512×512.

    Parameters
    ----------
    node : dict
        As in the symbol's JSON.
    shape : tuple of int
        Of its output, (N, c, …, h, w).
    """
    attributes = node.get("attrs", {})
    ones, strides = (set(re.findall(r"\d+", attributes.get(name, ""))) for name in ("kernel", "stride"))
    if node["op"] != "Convolution" or ones != {"1"} or not strides <= {"1"}:
        return False
    rows, places, filters = shape[-2], math.prod(shape[2:]), -(-shape[1] // _LAYOUT_BLOCK)
    return rows * places * filters % 2**32 == 0
