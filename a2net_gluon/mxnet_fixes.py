"""Private calls and workarounds of MXNet 1.9.1, each behind one function.

Every other module uses public MXNet and these functions. tests/test_mxnet_fixes.py shows each fault in plain MXNet: a
test that fails with another release tells that its workaround can go.
"""

from __future__ import annotations

import os
import pathlib
import typing
import warnings
from types import ModuleType

import mxnet as mx
from mxnet.gluon import nn

from a2net_gluon.errors import FailureError, UsageError

__all__ = [
    "FUSED_BN_RELU",
    "Array",
    "ClipBatchNorm",
    "copy_to_plain_layout",
    "has_onednn_layout",
    "has_values",
    "import_symbol_block",
    "is_hybridized",
    "load_parameter",
    "mean_over_devices",
    "named_parameters",
    "read_arrays",
    "save_arrays",
    "symbol_block",
    "wait_for_running_statistics",
]

Array = typing.Union[mx.nd.NDArray, mx.sym.Symbol]  # argument and result of operators, imperative or symbolic

FUSED_BN_RELU = "_contrib_BatchNormWithReLU"  # the operator's name in a graph
_LAYOUT_BLOCK = 16  # the most channels that oneDNN stores side by side
_TYPE_WARNING = "Cannot decide type"


# Parameters


def named_parameters(block: mx.gluon.Block) -> dict[str, mx.gluon.Parameter]:
    """Parameters of `block` under their names in files of ``save_parameters``, e.g. ``features.conv1.weight``.

    MXNet 1.9.1 has these names in a private method only; ``collect_params`` returns those of the graph. MXNet 2 returns
    the names of files there.
    """
    return block._collect_params_with_prefix()


def has_values(parameter: mx.gluon.Parameter) -> bool:
    """Whether `parameter` is initialised and its shape is known.

    MXNet 1.9.1 offers no question, only an exception from ``list_data``, of a type that depends on the reason.
    """
    return parameter._data is not None


def mean_over_devices(parameter: mx.gluon.Parameter) -> mx.nd.NDArray:
    """The mean of a parameter's values on all its devices, a new array on the CPU, as ``save_parameters`` writes it.

    Running statistics differ between devices. ``Parameter.data()`` of MXNet 1.9.1 returns those of one device; the mean
    is private. Call `wait_for_running_statistics` first.
    """
    return parameter._reduce()


def load_parameter(parameter: mx.gluon.Parameter, array: mx.nd.NDArray, contexts: typing.Sequence[mx.Context]) -> None:
    """Set `parameter` to `array`, cast to the parameter's type; if it has no values yet, initialise it on `contexts`.

    ``Parameter.set_data`` of MXNet 1.9.1 refuses a parameter that is not initialised, and ``load_parameters`` of a
    block reads a file whole. Its private step for one parameter does both.
    """
    parameter._load_init(array, list(contexts), cast_dtype=True, dtype_source="current")


def wait_for_running_statistics() -> None:
    """Wait until running means and variances of BN have the values of the last backward pass.

    oneDNN's BN in MXNet 1.9.1 writes them in its backward pass, which MXNet's engine believes to read them only.
    Reading such an array in a static graph therefore does not wait, and returns the values of the step before.
    """
    mx.nd.waitall()


# Blocks


def is_hybridized(block: mx.gluon.HybridBlock) -> bool:
    """Whether ``block.hybridize()`` is in force; MXNet 1.9.1 keeps it in a private attribute."""
    return block._active


def symbol_block(
    outputs: mx.sym.Symbol | list[mx.sym.Symbol],
    inputs: mx.sym.Symbol | list[mx.sym.Symbol],
    parameters: mx.gluon.ParameterDict,
) -> mx.gluon.SymbolBlock:
    """Build a SymbolBlock that shares `parameters`.

    MXNet 1.9.1 infers types before it looks at the parameters, which know theirs, and warns "Cannot decide type". That
    warning is suppressed.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", _TYPE_WARNING)
        return mx.gluon.SymbolBlock(outputs, inputs, params=parameters)


def import_symbol_block(
    symbol: str | os.PathLike[str], parameters: str | os.PathLike[str], ctx: mx.Context | list[mx.Context]
) -> mx.gluon.SymbolBlock:
    """Load an export's graph and parameters, with the input ``data``, without the warning of `symbol_block`."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", _TYPE_WARNING)
        return mx.gluon.SymbolBlock.imports(os.fspath(symbol), ["data"], os.fspath(parameters), ctx=ctx)


# Files


def read_arrays(path: str | os.PathLike[str]) -> dict[str, mx.nd.NDArray]:
    """Read a .params file as ``{name: NDArray}``; the format holds numbers only, nothing is unpickled.

    MXNet 1.9.1 answers a damaged file with one of three exceptions, a page of C++ frames, or an empty list.

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
        arrays = mx.nd.load(str(path))
    except (mx.MXNetError, UnicodeDecodeError, ValueError):
        arrays = None
    if not isinstance(arrays, dict) or not arrays:
        raise FailureError(f"{path}: truncated, or not an MXNet parameter file; copy or export it again")
    return arrays


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


# oneDNN's layouts


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
