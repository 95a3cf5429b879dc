"""A traced network: its nodes, and the shapes of their outputs."""

from __future__ import annotations

import json
from typing import Any, Callable, Sequence

import mxnet as mx

from a2net_gluon.mxnet_fixes import output_shapes

__all__ = ["Graph"]


class Graph:
    """The graph of a network for one input.

    Parameters
    ----------
    net : HybridBlock
        Initialized or not; one input. Or any other function from a symbol to that of the output.
    input_shape : tuple of int
        Of one image or clip, without the batch.

    Attributes
    ----------
    nodes : list of dict
        In the order of execution, as in the symbol's JSON: "op" ("null" for inputs and parameters), "name", "inputs".
    nodes_by_name : dict of str to dict
    """

    def __init__(self, net: Callable[[mx.sym.Symbol], mx.sym.Symbol], input_shape: Sequence[int]) -> None:
        symbol = net(mx.sym.var("data"))
        self._shapes = output_shapes(symbol.get_internals(), (1, *input_shape))
        self.nodes: list[dict[str, Any]] = json.loads(symbol.tojson())["nodes"]
        self.nodes_by_name = {node["name"]: node for node in self.nodes}

    def shape(self, node: dict[str, Any]) -> tuple[int, ...]:
        """Return the shape of a node's output, of the first one if there are several."""
        name = node["name"]
        if node["op"] == "null":
            return self._shapes[name]
        return self._shapes[f"{name}_output" if f"{name}_output" in self._shapes else f"{name}_output0"]

    def inputs(self, node: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the nodes whose outputs a node reads."""
        return [self.nodes[entry[0]] for entry in node["inputs"]]
