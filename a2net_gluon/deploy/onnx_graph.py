"""Changes, in place, of a converted ONNX graph that make runtimes fast: fewer nodes, known ranks and sizes, no BN."""

from __future__ import annotations

import collections
from typing import Any, Iterable

import numpy as np

__all__ = [
    "batch_norm_as_convolution",
    "channels_last_first",
    "close_shapes",
    "drop_unused",
    "note_ranks",
    "replace_entries",
    "shorten_target_shapes",
    "shorten_transposes",
]


def shorten_transposes(graph: Any) -> None:
    """Reduce the transposition of a product's operand to one Transpose, which runtimes then fuse with the product.

    MXNet's converter first reshapes both operands of ``batch_dot`` to three dimensions, which they have already:
    Reshape, Transpose and Reshape, with eight more nodes that compute the shapes.
    """
    makers = {node.output[0]: node for node in graph.node}
    for node in graph.node:
        for number, name in enumerate(node.input if node.op_type == "MatMul" else ()):
            transpose, reshape = makers.get(f"{name}_3d_transpose"), makers.get(f"{name}_3d")
            if transpose and reshape:
                transpose.input[0] = reshape.input[0]
                node.input[number] = transpose.output[0]
    drop_unused(graph)


def shorten_target_shapes(graph: Any) -> None:
    """Join the lengths that a row of locations is unfolded to from two pieces, not three.

    MXNet's converter takes three for ``reshape_like``. The third, what follows the row, is empty, and some readers
    (OpenCV 4.11, TVM) refuse an empty piece.
    """
    for node in graph.node:
        if node.op_type == "Reshape" and node.input[1] == f"{node.output[0]}_concat1_out":
            node.input[1] = f"{node.output[0]}_concat0_out"
    drop_unused(graph)


def channels_last_first(graph: Any) -> None:
    """Transpose a convolution's output to channels last before its locations are flattened, not after.

    The numbers stay the same. Runtimes compute convolutions in a layout of their own, which is one step away from
    channels last.
    """
    from onnx import helper, numpy_helper

    makers = {node.output[0]: node for node in graph.node}
    weights = {constant.name: constant.dims for constant in graph.initializer}
    readers = collections.Counter(name for node in graph.node for name in node.input)
    for node in graph.node:
        reshape = makers.get(node.input[0]) if node.op_type == "Transpose" else None
        convolution = makers.get(reshape.input[0]) if reshape is not None and reshape.op_type == "Reshape" else None
        if reshape is None or convolution is None or convolution.op_type != "Conv" or readers[node.input[0]] > 1:
            continue
        if list(node.attribute[0].ints) != [0, 2, 1]:
            continue
        channels, *kernel = weights[convolution.input[1]]
        order = [0, *range(2, len(kernel) + 1), 1]
        name, last = node.output[0], f"{node.output[0]}_last"
        graph.initializer.append(numpy_helper.from_array(np.array([0, -1, channels]), f"{name}_shape"))
        reshape.CopyFrom(helper.make_node("Transpose", [convolution.output[0]], [last], reshape.name, perm=order))
        node.CopyFrom(helper.make_node("Reshape", [last, f"{name}_shape"], [name], node.name))
    drop_unused(graph)


def drop_unused(graph: Any) -> None:
    """Remove nodes that lead to no output, and constants that no node reads."""
    needed = {output.name for output in graph.output}
    kept = []
    for node in reversed(graph.node):
        if needed & set(node.output):
            needed.update(node.input)
            kept.append(node)
    replace_entries(graph.node, kept[::-1])
    replace_entries(graph.initializer, [constant for constant in graph.initializer if constant.name in needed])
    replace_entries(graph.value_info, [value for value in graph.value_info if value.name in needed])


def replace_entries(field: Any, entries: Iterable[Any]) -> None:
    """Make the list `entries` all that a repeated field of a model holds."""
    del field[:]
    field.extend(entries)


def note_ranks(graph: Any, symbol: Any, shape: tuple[int, ...]) -> None:
    """Record dimensions and channels of arrays with a computed shape, as MXNet infers them for an input of `shape`.

    ONNX's inference finds no rank for the output of a Reshape with a computed shape, nor for any array after it. ONNX
    Runtime then keeps 8-bit convolutions in the layout of the file, though another layout is twice as fast.
    """
    from onnx import TensorProto, helper

    for node, lengths in _computed_reshapes(graph, symbol, shape):
        open_lengths = [None, lengths[1], *([None] * (len(lengths) - 2))]  # the other lengths change with the input
        graph.value_info.append(helper.make_tensor_value_info(node.output[0], TensorProto.FLOAT, open_lengths))


def close_shapes(model: Any, symbol: Any, shape: tuple[int, ...]) -> Any:
    """Return `model` for inputs of `shape` only: the length of every array is a number, and no node computes one."""
    from onnx import numpy_helper, shape_inference

    graph = model.graph
    for value in (*graph.input, *graph.output):
        lengths = shape if value.name == "data" else shape[:1]
        for length, number in zip(value.type.tensor_type.shape.dim, lengths):
            length.dim_value = number
    for node, found in _computed_reshapes(graph, symbol, shape):
        target = f"{node.output[0]}_shape"
        graph.initializer.append(numpy_helper.from_array(np.array(found, np.int64), target))
        node.input[1] = target
    drop_unused(graph)
    return shape_inference.infer_shapes(model, strict_mode=True)


def _computed_reshapes(graph: Any, symbol: Any, shape: tuple[int, ...]) -> list[tuple[Any, tuple[int, ...]]]:
    """Each Reshape whose target is computed, with the lengths that MXNet infers for its output."""
    internals = symbol.get_internals()
    _, shapes, _ = internals.infer_shape(data=shape)
    known = dict(zip(internals.list_outputs(), shapes))
    constants = {constant.name for constant in graph.initializer}
    computed = [node for node in graph.node if node.op_type == "Reshape" and node.input[1] not in constants]
    return [(node, known[f"{node.output[0]}_output"]) for node in computed]


def batch_norm_as_convolution(graph: Any) -> None:
    """Replace every BN by an equal 1×1 convolution with one group for each channel.

    ONNX Runtime has 8-bit convolutions, but no 8-bit BN.
    """
    from onnx import helper, numpy_helper

    constants = {constant.name: constant for constant in graph.initializer}
    for node in graph.node:
        if node.op_type != "BatchNormalization":
            continue
        epsilon = {attribute.name: attribute.f for attribute in node.attribute}.get("epsilon", 1e-5)
        gamma, beta, mean, variance = (
            numpy_helper.to_array(constants[name]).astype(np.float64) for name in node.input[1:]
        )
        weight = gamma / np.sqrt(variance + epsilon)
        made = {"weight": weight.reshape(-1, 1, 1, 1), "bias": beta - mean * weight}
        names = [f"{node.output[0]}_{part}" for part in made]
        for name, array in zip(names, made.values()):
            graph.initializer.append(numpy_helper.from_array(array.astype(np.float32), name))
        inputs, outputs = [node.input[0], *names], list(node.output[:1])
        node.CopyFrom(helper.make_node("Conv", inputs, outputs, node.name, group=len(weight), kernel_shape=[1, 1]))
    drop_unused(graph)
