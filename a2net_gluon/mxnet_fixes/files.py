"""Files of graphs and of arrays, which MXNet reads without a look at what is in them."""

from __future__ import annotations

import os
import pathlib

import mxnet as mx

from a2net_gluon.errors import FailureError, UsageError, reason_of
from a2net_gluon.formats.arrays import check_array_file
from a2net_gluon.formats.graph import read_graph

__all__ = ["output_shapes", "read_arrays", "read_symbol", "save_arrays", "unpickled_array"]


def output_shapes(symbol: mx.sym.Symbol, shape: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    """Return the shape of each output of `symbol`, for input ``data`` of `shape`.

    Where they do not fit together, MXNet 1.9.1's ``infer_shape`` prints its arguments before it raises the error.
    """
    _, shapes, _ = symbol._infer_shape_impl(False, data=shape)
    return dict(zip(symbol.list_outputs(), shapes))


def read_symbol(path: str | os.PathLike[str]) -> mx.sym.Symbol:
    """Read a graph of permitted operators, `a2net_gluon.formats.graph.OPERATORS`.

    MXNet 1.9.1 ends the process with a segmentation fault or a division by zero where a graph is wrong, and has
    operators that call an address given in the file.

    Raises
    ------
    UsageError
        If there is no such file.
    FailureError
        If it is no graph, or one that may not be run.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise UsageError(f"{path}: no such graph")
    try:
        return mx.sym.load_json(read_graph(path))
    except (OSError, ValueError, mx.MXNetError) as error:
        raise FailureError(f"{path}: not a graph that may be run ({reason_of(error)})") from None


def read_arrays(path: str | os.PathLike[str]) -> dict[str, mx.nd.NDArray]:
    """Read a .params file as ``{name: NDArray}``; the format holds numbers only, nothing is unpickled.

    MXNet 1.9.1 answers a damaged file with one of three exceptions, a page of C++ frames, an empty list, or a
    segmentation fault; so the structure of the file is checked first.

    Raises
    ------
    UsageError
        If there is no such file.
    FailureError
        If the file is truncated or not a parameter file.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise UsageError(f"{path}: no such parameter file")
    try:
        check_array_file(path)
        arrays = mx.nd.load(str(path))
    except (mx.MXNetError, OSError, ValueError):
        arrays = None
    if not isinstance(arrays, dict) or not arrays:
        raise FailureError(f"{path}: truncated, or not an MXNet parameter file; copy or export it again")
    return arrays


def unpickled_array(content: bytearray) -> mx.nd.NDArray:
    """Return the array whose pickle holds `content`, on the CPU.

    MXNet 1.9.1 trusts it, and reads past its end: `a2net_gluon.formats.arrays.check_array` must have looked at it.
    """
    array = mx.nd.NDArray(None)
    array.__setstate__({"handle": content})
    return array


def save_arrays(arrays: dict[str, mx.nd.NDArray], path: str | os.PathLike[str]) -> None:
    """Save ``{name: NDArray}`` and read it back.

    MXNet 1.9.1 does not check whether the end of a file, which it keeps in a buffer until then, reaches a full disk.

    Raises
    ------
    mxnet.MXNetError
        If the file cannot be written.
    FailureError
        If its end is missing.
    """
    mx.nd.save(str(path), arrays)
    read_arrays(path)
