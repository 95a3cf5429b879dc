"""Private calls and workarounds of MXNet 1.9.1, each behind one function.

Every other module uses public MXNet and these functions. tests/test_mxnet_fixes.py shows each fault in plain MXNet: a
test that fails with another release tells that its workaround can go.
"""

from __future__ import annotations

import ctypes
import math
import os
import pathlib
import re
import types
import typing
import warnings
from types import ModuleType

import mxnet as mx
import numpy as np
from mxnet import autograd
from mxnet.gluon import nn

from a2net_gluon.errors import FailureError, UsageError, reason_of
from a2net_gluon.formats.arrays import check_array_file
from a2net_gluon.formats.graph import read_graph

__all__ = [
    "FUSED_BN_RELU",
    "Array",
    "ClipBatchNorm",
    "RewritableBlock",
    "all_finite",
    "awaited_batch",
    "copy_to_plain_layout",
    "create_optimizer_state",
    "divides_by_zero",
    "has_onednn_layout",
    "has_values",
    "import_symbol_block",
    "load_parameter",
    "mean_over_devices",
    "meet",
    "memory_of",
    "named_parameters",
    "optimizer_states",
    "output_shapes",
    "prefetching_iterator",
    "read_arrays",
    "read_symbol",
    "save_arrays",
    "scale_gradients",
    "send_first_values",
    "set_optimizer_states",
    "symbol_block",
    "take_worker_processes",
    "trained_contexts",
    "trained_parameters",
    "unpickled_array",
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
    """Whether `parameter` is initialized and its shape is known.

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
    """Set `parameter` to `array`, cast to the parameter's type; if it has no values yet, initialize it on `contexts`.

    ``Parameter.set_data`` of MXNet 1.9.1 refuses a parameter that is not initialized, and ``load_parameters`` of a
    block reads a file whole. Its private step for one parameter does both.
    """
    if array.ndim == 5 and has_values(parameter):  # a weight of a 3-D convolution
        replace_values(parameter, array)
        return
    parameter._load_init(array, list(contexts), cast_dtype=True, dtype_source="current")


def replace_values(parameter: mx.gluon.Parameter, array: mx.nd.NDArray) -> None:
    """Give an initialized parameter new arrays with the values of `array` on its devices.

    ``Parameter.set_data`` of MXNet 1.9.1 writes into the arrays that are there. Inference on the CPU has left the
    weights of 3-D convolutions in oneDNN's layout, and the next use of such a weight then fails ("Check failed:
    to.IsDefaultData()").
    """
    parameter._init_impl(array.astype(parameter.dtype, copy=False), parameter.list_ctx())


def wait_for_running_statistics() -> None:
    """Wait until running means and variances of BN have the values of the last backward pass.

    oneDNN's BN in MXNet 1.9.1 writes them in its backward pass, which MXNet's engine believes to read them only.
    Reading such an array in a static graph therefore does not wait, and returns the values of the step before.
    """
    mx.nd.waitall()


# Blocks


class RewritableBlock(mx.gluon.HybridBlock):
    """A block of one input that, hybridized, runs other graphs than the one that is traced from it and exported.

    MXNet 1.9.1 runs the traced graph, or with ``hybridize(backend=…)`` another, which is then exported too; both in
    private methods. Where a backend or a hook for operators is chosen, where gradients are recorded in the mode of
    inference, and inside another hybridized block, the traced graph runs.
    """

    _compiled: _Compiled | None = None

    def can_rewrite(self, x: mx.nd.NDArray) -> bool:
        """Whether the graphs of `rewritten` can be run on the input `x`."""
        raise NotImplementedError

    def rewritten(self, graph: mx.sym.Symbol, training: bool) -> mx.sym.Symbol:
        """Return a graph of the same inputs, parameters and output as the traced one, for training or inference."""
        raise NotImplementedError

    def _call_cached_op(self, *inputs: mx.nd.NDArray) -> typing.Any:
        training = autograd.is_training()
        chosen = self._backend or self._callback or len(inputs) != 1 or training != autograd.is_recording()
        if chosen or not self.can_rewrite(inputs[0]):
            return super()._call_cached_op(*inputs)
        if self._compiled is None:
            if self._cached_op is None:
                self._build_cache(*inputs)  # sets the parameters up, and what `export` writes
            self._compiled = _Compiled(self)
        return self._compiled.run(inputs[0], training)

    def _clear_cached_op(self) -> None:
        super()._clear_cached_op()
        self._compiled = None


class _Compiled:
    """The rewritten graphs of a hybridized block, one for training and one for inference, each compiled on demand."""

    def __init__(self, block: RewritableBlock) -> None:
        (_, self._graph), self._rewrite, self._flags = block._cached_graph, block.rewritten, block._flags
        self._parameters = {part.name: part for is_input, part in block._cached_op_args if not is_input}
        self._operators: dict[bool, tuple[mx.nd.CachedOp, list[mx.gluon.Parameter | None]]] = {}

    def run(self, x: mx.nd.NDArray, training: bool) -> mx.nd.NDArray:
        if training not in self._operators:
            self._operators[training] = self._compile(training)
        operator, parameters = self._operators[training]
        return operator(*(x if parameter is None else parameter.data() for parameter in parameters))

    def _compile(self, training: bool) -> tuple[mx.nd.CachedOp, list[mx.gluon.Parameter | None]]:
        """Return the operator of a graph, and its parameters in the order of its inputs, with None for the data."""
        graph = self._rewrite(self._graph, training)
        parameters = [self._parameters.get(name) for name in graph.list_inputs()]
        places: dict[bool, list[int]] = {True: [], False: []}
        for number, parameter in enumerate(parameters):
            places[parameter is None].append(number)
        flags = [("data_indices", places[True]), ("param_indices", places[False]), *self._flags]
        return mx.nd.CachedOp(graph, flags), parameters


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
    """Load an export's graph and parameters, with the input ``data``, like ``SymbolBlock.imports``.

    There is no warning, as from `symbol_block`, and both files are checked first, see `read_symbol` and `read_arrays`.
    """
    arrays, graph = read_arrays(parameters), read_symbol(symbol)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", _TYPE_WARNING)
        block = mx.gluon.SymbolBlock(graph, mx.sym.var("data"))
    block.collect_params().load_dict(arrays, ctx, filename=os.fspath(parameters), cast_dtype=True, dtype_source="saved")
    return block


# Files


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


# Data


def memory_of(array: mx.nd.NDArray) -> np.ndarray:
    """Return the memory of an NDArray on the CPU, of uint8, as a NumPy array; it must not outlive the NDArray.

    MXNet 1.9.1 has no writable view of an NDArray. Assigning to one copies the values a second time, which took an
    eighth of a reader's time.
    """
    address = ctypes.c_void_p()
    mx.base.check_call(mx.base._LIB.MXNDArrayGetData(array.handle, ctypes.byref(address)))
    return np.ctypeslib.as_array(ctypes.cast(address, ctypes.POINTER(ctypes.c_uint8)), array.shape)


def prefetching_iterator(loader: mx.gluon.data.DataLoader) -> typing.Any:
    """Start to read an epoch ahead; the iterator can be asked for the batch that is awaited, see `awaited_batch`.

    ``iter(loader)`` is a generator around the same object, which hides it.
    """
    return loader._prefetch_iter()


def awaited_batch(iterator: typing.Any) -> typing.Any:
    """Return the pending result of the next batch of a `prefetching_iterator`, or None at the end.

    MXNet's own ``next`` waits for it without looking whether the process that reads it still lives.
    """
    return iterator._data_buffer.get(iterator._rcvd_idx)


def take_worker_processes(loader: mx.gluon.data.DataLoader) -> list[typing.Any]:
    """Return the worker processes of a loader; its pool neither replaces nor ends them any more.

    The pool forks a new worker for one that ended, from a thread, at any moment; MXNet 1.9.1 stops its engine for a
    fork, and a computation of the main thread may then never end. The pool's ``terminate`` waits forever if a signal
    ended a worker that held a lock.
    """
    pool = loader._worker_pool
    if pool is None:
        return []
    pool._terminate.cancel()
    workers = list(pool._pool)
    pool._pool[:] = [types.SimpleNamespace(exitcode=None)] * len(workers)  # it looks for those that have exited
    return workers


# Training


def all_finite(arrays: typing.Iterable[mx.nd.NDArray]) -> bool:
    """Return whether no value in `arrays`, all on one device, is NaN or infinite; waits for them.

    MXNet 1.9.1's operator ``multi_all_finite`` has room for 200 arrays and crashes with more. It takes one type of
    values at a time: with float16, BN's parameters stay in float32.
    """
    groups: dict[typing.Any, list[mx.nd.NDArray]] = {}
    for array in arrays:
        groups.setdefault(array.dtype, []).append(array)
    parts = [same[start : start + 200] for same in groups.values() for start in range(0, len(same), 200)]
    return all(mx.nd.multi_all_finite(*part, num_arrays=len(part)).asscalar() == 1 for part in parts)


def trained_contexts(trainer: mx.gluon.Trainer) -> list[mx.Context]:
    """Return the devices of a trainer; MXNet 1.9.1 keeps them in a private attribute."""
    return list(trainer._contexts)


def trained_parameters(trainer: mx.gluon.Trainer) -> list[mx.gluon.Parameter]:
    """Return the parameters of a trainer, in the order in which its optimizer numbers them."""
    return list(trainer._params)


def optimizer_states(trainer: mx.gluon.Trainer) -> dict[int, typing.Any]:
    """Return the optimizer's state of each parameter by its number: an array, a tuple of such, or None.

    Every device has the same. The only public way to them, ``Trainer.save_states`` of MXNet 1.9.1, pickles the
    optimizer with its schedule.
    """
    return trainer._updaters[0].states


def create_optimizer_state(trainer: mx.gluon.Trainer, number: int, context: mx.Context) -> typing.Any:
    """Create the state with which a parameter starts on a device; otherwise that is done in the first step."""
    weight = trainer._params[number].data(context)
    return trainer._optimizer.create_state_multi_precision(number, weight)


def set_optimizer_states(trainer: mx.gluon.Trainer, context: mx.Context, states: dict[int, typing.Any]) -> None:
    """Set the optimizer's states on one device, by the numbers of their parameters."""
    updater = trainer._updaters[trainer._contexts.index(context)]
    for number, state in states.items():
        updater.states[number] = state
        updater.states_synced[number] = True


# Several processes


def meet(kvstore: mx.kv.KVStore) -> None:
    """Wait until what was pushed or initialized has arrived, in every process.

    MXNet 1.9.1 does not wait for the first values of a key: a later push can overtake them. Then a process took the sum
    of the first gradients for its weights.
    """
    mx.nd.waitall()
    kvstore._barrier()


def send_first_values(trainer: mx.gluon.Trainer) -> None:
    """Initialize the KVStore of a trainer with its parameters; otherwise that is done in the first step."""
    trainer._init_kvstore()
    trainer._init_params()


def scale_gradients(trainer: mx.gluon.Trainer, factor: float) -> None:
    """Multiply the scale that a trainer applies to gradients; MXNet 1.9.1 keeps it in a private attribute."""
    trainer._scale *= factor
