"""Conversion to ONNX with MXNet's converter, and what has to be repaired of its files (mxnet 1.9.1)."""

import contextlib
import json
import os

import mxnet as mx
import numpy as np

from a2net_gluon.deploy.onnx_graph import channels_last_first, note_ranks, replace_entries, shorten_transposes

__all__ = ["OPSET", "write_onnx"]

OPSET = 13  # the converter's operators are those of opset 13, whatever the installed onnx calls its newest
_IR_VERSION = 8  # of that time; files marked with a newer one are refused by older runtimes


def _input(description):
    """Return an example shape of the graph's input, the same with names for the lengths left open, and the type."""
    preprocessing = description.preprocessing
    if description.input == "pixels":
        return (1, preprocessing.size, preprocessing.size, 3), ("N", "height", "width", 3), np.uint8
    names = ("N", 3, *(["frames"] if preprocessing.frames else []), "height", "width")
    return (1, *preprocessing.input_shape), names, np.float32


def write_onnx(symbol, params, path, description):
    """Convert an export to ONNX, with batch, frames, height and width left open; the output is called ``logits``.

    The description is kept in the file's metadata, as JSON under "description".

    Parameters
    ----------
    symbol, params : Path
        The export's files.
    path : Path
        File to write.
    description : Description
    """
    import onnx

    shape, dynamic, dtype = _input(description)
    with _mended(onnx):
        mx.onnx.export_model(
            os.fspath(symbol),
            os.fspath(params),
            [shape],
            dtype,
            os.fspath(path),
            dynamic=True,
            dynamic_input_shapes=[dynamic],
        )
    model = onnx.load(os.fspath(path))
    _repair(model, len(description.classes))
    shorten_transposes(model.graph)
    channels_last_first(model.graph)
    note_ranks(model.graph, mx.sym.load(os.fspath(symbol)), shape)
    onnx.helper.set_model_props(model, {"description": json.dumps(description.as_dict())})
    onnx.checker.check_model(model)
    onnx.save(model, os.fspath(path))


@contextlib.contextmanager
def _mended(onnx):
    """Have the converter stamp `OPSET` on what it writes, for which it asks the installed onnx, and write bytes.

    It hands over the weights as Python lists, which take most of its time where they are written number by number.
    """
    version, make_tensor = onnx.defs.onnx_opset_version, onnx.helper.make_tensor

    def make_tensor_of_bytes(name, data_type, dims, vals, raw=False):
        if data_type == onnx.TensorProto.FLOAT and not raw:
            vals, raw = np.asarray(vals, "<f4").tobytes(), True
        return make_tensor(name, data_type, dims, vals, raw)

    onnx.defs.onnx_opset_version, onnx.helper.make_tensor = lambda: OPSET, make_tensor_of_bytes
    try:
        yield
    finally:
        onnx.defs.onnx_opset_version, onnx.helper.make_tensor = version, make_tensor


def _repair(model, classes):
    graph = model.graph
    model.ir_version = _IR_VERSION
    # The converter lists constants as inputs, which keeps runtimes from folding them.
    constants = {constant.name for constant in graph.initializer}
    replace_entries(graph.input, [value for value in graph.input if value.name not in constants])
    output = graph.output[0]
    for node in graph.node:
        node.output[:] = ["logits" if name == output.name else name for name in node.output]
    output.name = "logits"
    batch, width = output.type.tensor_type.shape.dim  # the converter knows neither
    batch.dim_param, width.dim_value = "N", classes
