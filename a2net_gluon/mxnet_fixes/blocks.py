"""Graphs of hybridized blocks, and blocks of graphs."""

from __future__ import annotations

import os
import typing
import warnings

import mxnet as mx
from mxnet import autograd

from a2net_gluon.mxnet_fixes.files import read_arrays, read_symbol

__all__ = ["RewritableBlock", "import_symbol_block", "symbol_block"]

_TYPE_WARNING = "Cannot decide type"


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
