"""Conversion to ONNX with MXNet's converter, with repairs of the files it writes (mxnet 1.9.1)."""

from __future__ import annotations

import contextlib
import json
import os
from typing import Any, Iterator

import mxnet as mx
import numpy as np

from a2net_gluon.deploy.onnx_graph import (
    channels_last_first,
    close_shapes,
    note_ranks,
    replace_entries,
    shorten_target_shapes,
    shorten_transposes,
)
from a2net_gluon.files import AnyPath
from a2net_gluon.networks.description import Description

__all__ = ["OPSET", "fix_size", "write_onnx"]

OPSET = 13  # the converter writes operators of opset 13, whatever the newest opset of the installed onnx is
_IR_VERSION = 8  # contemporary with opset 13; older runtimes refuse files marked with a newer version


def _input(description: Description) -> tuple[tuple[int, ...], tuple[Any, ...], type]:
    """Return an example shape of the graph's input, the same shape with names for dynamic lengths, and the type."""
    locations = (*(["frames"] if description.preprocessing.frames else []), "height", "width")
    pixels = description.input == "pixels"
    names = ("N", *locations, 3) if pixels else ("N", 3, *locations)
    return (1, *description.input_shape), names, np.uint8 if pixels else np.float32


def write_onnx(symbol: AnyPath, params: AnyPath, path: AnyPath, description: Description) -> None:
    """Convert an export to ONNX, with dynamic batch, frames, height and width; the output is called ``logits``.

    The file's metadata hold the description, as JSON under "description".

    Parameters
    ----------
    symbol, params : str or Path
        The export's files.
    path : str or Path
        File to write.
    description : Description
    """
    import onnx

    shape, dynamic, dtype = _input(description)
    graph = mx.sym.load(os.fspath(symbol))
    arrays = {name.split(":", 1)[1]: _Weights.of(array) for name, array in mx.nd.load(os.fspath(params)).items()}
    with _mended(onnx):
        mx.onnx.export_model(
            graph,
            arrays,
            [shape],
            dtype,
            os.fspath(path),
            dynamic=True,
            dynamic_input_shapes=[dynamic],
        )
    model = onnx.load(os.fspath(path))
    _repair(model, len(description.classes))
    shorten_transposes(model.graph)
    shorten_target_shapes(model.graph)
    channels_last_first(model.graph)
    note_ranks(model.graph, graph, shape)
    onnx.helper.set_model_props(model, {"description": json.dumps(description.as_dict())})
    _save(model, path)


def fix_size(path: AnyPath, symbol: AnyPath, shape: tuple[int, ...]) -> None:
    """Make an ONNX file take inputs of `shape`, batch included, and no others: some readers know no open lengths.

    Parameters
    ----------
    path : str or Path
        File of `write_onnx`, or its 8-bit form.
    symbol : str or Path
        The export's graph, of which it was made.
    shape : tuple of int
    """
    import onnx

    _save(close_shapes(onnx.load(os.fspath(path)), mx.sym.load(os.fspath(symbol)), shape), path)


def _save(model: Any, path: AnyPath) -> None:
    import onnx

    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, os.fspath(path))


class _Weights(np.ndarray):
    """An array that stays one where the converter would make a list of it, which takes most of its time."""

    @classmethod
    def of(cls, array: mx.nd.NDArray) -> _Weights:
        return array.asnumpy().view(cls)

    def asnumpy(self) -> _Weights:
        return self

    def tolist(self) -> Any:
        return self


@contextlib.contextmanager
def _mended(onnx: Any) -> Iterator[None]:
    """Make the converter mark its file with `OPSET`, not with the installed onnx's newest, and store weights as bytes.

    Written number by number they take long. The graph is checked once, when all repairs are done.
    """
    version, make_tensor, check = onnx.defs.onnx_opset_version, onnx.helper.make_tensor, onnx.checker.check_graph

    def make_tensor_of_bytes(name: str, data_type: int, dims: Any, vals: Any, raw: bool = False) -> Any:
        if data_type == onnx.TensorProto.FLOAT and not raw:
            vals, raw = np.asarray(vals, "<f4").tobytes(), True
        return make_tensor(name, data_type, dims, vals, raw)

    onnx.defs.onnx_opset_version, onnx.helper.make_tensor = lambda: OPSET, make_tensor_of_bytes
    onnx.checker.check_graph = lambda graph: None
    try:
        yield
    finally:
        onnx.defs.onnx_opset_version, onnx.helper.make_tensor, onnx.checker.check_graph = version, make_tensor, check


def _repair(model: Any, classes: int) -> None:
    """Repair inputs, output and version of the converter's `model`."""
    graph = model.graph
    model.ir_version = _IR_VERSION
    # The converter lists constants as inputs, which prevents runtimes from folding them.
    constants = {constant.name for constant in graph.initializer}
    replace_entries(graph.input, [value for value in graph.input if value.name not in constants])
    output = graph.output[0]
    for node in graph.node:
        node.output[:] = ["logits" if name == output.name else name for name in node.output]
    output.name = "logits"
    batch, width = output.type.tensor_type.shape.dim  # which the converter leaves unknown
    batch.dim_param, width.dim_value = "N", classes
