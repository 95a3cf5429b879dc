"""Products with a factor for each channel as products of matrices, for training on the CPU.

The gradient of the factors is a sum over all locations, for which the backward pass of MXNet's ``broadcast_mul`` takes
several times as long as the convolutions around it. A product of matrices has the same gradient and takes a fifth of
that time. Blocks are written with ``broadcast_mul``, and graphs are rewritten where they train.
"""

from __future__ import annotations

import json
import typing

import mxnet as mx

__all__ = ["multiply_by_matrices"]

_Node = typing.Dict[str, typing.Any]  # of a graph, as in the symbol's JSON
_OF_POOLED = ("Convolution", "Activation", "sigmoid")  # what computes factors from averages over all locations


def multiply_by_matrices(symbol: mx.sym.Symbol) -> mx.sym.Symbol:
    """Compute each product x · s as (N·c, 1, 1) times (N·c, 1, L), where s comes from averages over all L locations.

    Parameters, inputs and outputs keep their names and shapes.

    Parameters
    ----------
    symbol : mxnet.sym.Symbol
        Products whose factors are those of a squeeze-and-excitation block are rewritten: (N, c, 1, …), computed by
        convolutions and activations from a global pooling.

    Returns
    -------
    mxnet.sym.Symbol
    """
    graph = json.loads(symbol.tojson())
    old, nodes = graph["nodes"], []
    places: list[int] = []  # of each old node among the new ones

    def add(operator: str, name: str, attributes: dict[str, str], *inputs: list[int]) -> list[int]:
        nodes.append({"op": operator, "name": name, "attrs": attributes, "inputs": inputs})
        return [len(nodes) - 1, 0, 0]

    for node in old:
        inputs = [[places[source], *output] for source, *output in node["inputs"]]
        if _scales_channels(old, node):
            x, factors, name = *inputs, node["name"]
            rows = add("Reshape", f"{name}_rows", {"shape": "(-3, 1, -1)"}, x)
            factors = add("Reshape", f"{name}_factors", {"shape": "(-3, 1, 1)"}, factors)
            add("reshape_like", name, {}, add("batch_dot", f"{name}_product", {}, factors, rows), x)
        else:
            nodes.append({**node, "inputs": inputs})
        places.append(len(nodes) - 1)
    heads = [[places[source], *output] for source, *output in graph["heads"]]
    arguments = [number for number, node in enumerate(nodes) if node["op"] == "null"]
    return mx.sym.load_json(
        json.dumps({"nodes": nodes, "arg_nodes": arguments, "heads": heads, "attrs": graph["attrs"]})
    )


def _scales_channels(nodes: list[_Node], node: _Node) -> bool:
    """Whether a node multiplies with one factor for each channel of each image or clip."""
    if node["op"] != "broadcast_mul":
        return False
    source = nodes[node["inputs"][1][0]]
    while source["op"] in _OF_POOLED:
        source = nodes[source["inputs"][0][0]]
    return source["op"] == "Pooling" and source["attrs"].get("global_pool") == "True"
