"""What runtimes need to make a converted graph fast: few nodes, ranks they can see. The functions change the graph."""

import collections

import numpy as np

__all__ = [
    "batch_norm_as_convolution",
    "channels_last_first",
    "drop_unused",
    "note_ranks",
    "replace_entries",
    "shorten_transposes",
]


def shorten_transposes(graph):
    """Make every matrix that a product takes transposed one Transpose, which runtimes then fuse with the product.

    MXNet's converter brings both operands of ``batch_dot`` into three dimensions first, which they have already:
    Reshape, Transpose and Reshape, with eight more nodes that work out the shapes.
    """
    makers = {node.output[0]: node for node in graph.node}
    for node in graph.node:
        for number, name in enumerate(node.input if node.op_type == "MatMul" else ()):
            transpose, reshape = makers.get(f"{name}_3d_transpose"), makers.get(f"{name}_3d")
            if transpose and reshape:
                transpose.input[0] = reshape.input[0]
                node.input[number] = transpose.output[0]
    drop_unused(graph)


def channels_last_first(graph):
    """Have what a convolution puts out transposed to channels last before its locations are put in a row, not after.

    The same numbers; but runtimes compute convolutions in a layout of their own, from which channels last is one step.
    """
    from onnx import helper, numpy_helper

    makers = {node.output[0]: node for node in graph.node}
    weights = {constant.name: constant.dims for constant in graph.initializer}
    readers = collections.Counter(name for node in graph.node for name in node.input)
    for node in graph.node:
        reshape = makers.get(node.input[0]) if node.op_type == "Transpose" else None
        convolution = makers.get(reshape.input[0]) if reshape is not None and reshape.op_type == "Reshape" else None
        if convolution is None or convolution.op_type != "Conv" or readers[node.input[0]] > 1:
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


def drop_unused(graph):
    """Remove nodes that lead to no output, and constants that no node takes."""
    needed = {output.name for output in graph.output}
    kept = []
    for node in reversed(graph.node):
        if needed & set(node.output):
            needed.update(node.input)
            kept.append(node)
    replace_entries(graph.node, kept[::-1])
    replace_entries(graph.initializer, [constant for constant in graph.initializer if constant.name in needed])


def replace_entries(field, entries):
    """Make the list `entries` all that a repeated field of a model holds."""
    del field[:]
    field.extend(entries)


def note_ranks(graph, symbol, shape):
    """Note how many dimensions and channels each reshaped array has, as MXNet knows them for an input of `shape`.

    What a Reshape with a computed shape puts out has no rank for ONNX's inference, nor has anything after it. ONNX
    Runtime then leaves 8-bit convolutions in the layout of the file, though another is twice as fast for it.
    """
    from onnx import TensorProto, helper

    internals = symbol.get_internals()
    _, shapes, _ = internals.infer_shape(data=shape)
    known = dict(zip(internals.list_outputs(), shapes))
    for node in graph.node:
        found = known.get(f"{node.output[0]}_output")
        if node.op_type == "Reshape" and found and len(found) > 1:
            lengths = [None, found[1], *([None] * (len(found) - 2))]  # the others change with the input
            graph.value_info.append(helper.make_tensor_value_info(node.output[0], TensorProto.FLOAT, lengths))


def batch_norm_as_convolution(graph):
    """Replace every BN by the 1×1 convolution with one group for each channel that computes the same.

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
        names = [f"{node.output[0]}_{what}" for what in made]
        for name, array in zip(names, made.values()):
            graph.initializer.append(numpy_helper.from_array(array.astype(np.float32), name))
        inputs, outputs = [node.input[0], *names], list(node.output[:1])
        node.CopyFrom(helper.make_node("Conv", inputs, outputs, node.name, group=len(weight), kernel_shape=[1, 1]))
    drop_unused(graph)
