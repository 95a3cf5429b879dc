"""BN and ReLU as one operator of oneDNN, for networks on the CPU.

MXNet has an operator for each; each passes over memory, forward and backward, which takes a tenth of a training step
of A²-Net. ``BatchNormWithReLU`` does both in one pass. It exists on the CPU only, in float32 only, and ONNX has no such
operator: networks are therefore written without it, and their graphs are rewritten where they run.
"""

from __future__ import annotations

import functools
import json
import os
import typing

import mxnet as mx

from a2net_gluon.mxnet_fixes import FUSED_BN_RELU, has_onednn_layout

__all__ = ["can_fuse", "fuse_relu"]

_Node = typing.Dict[str, typing.Any]  # of a graph, as in the symbol's JSON


def can_fuse() -> bool:
    """Whether this MXNet computes with oneDNN, which has the operator."""
    return _has_onednn() and os.environ.get("MXNET_MKLDNN_ENABLED") != "0"


@functools.lru_cache(maxsize=None)
def _has_onednn() -> bool:
    return mx.runtime.Features().is_enabled("MKLDNN")


def fuse_relu(symbol: mx.sym.Symbol, gradients: bool = True) -> mx.sym.Symbol:
    """Replace each BN that only a ReLU reads, and this ReLU, by one operator.

    Parameters
    ----------
    symbol : mxnet.sym.Symbol
    gradients : bool
        Only where gradients stay right, see `a2net_gluon.mxnet_fixes.has_onednn_layout`.

    Returns
    -------
    mxnet.sym.Symbol
    """
    graph = json.loads(symbol.tojson())
    nodes = graph["nodes"]
    readers = _readers(nodes, graph["heads"])
    replaced: dict[int, int] = {}
    for number, node in enumerate(nodes):
        if not (node["op"] == "Activation" and _attribute(node, "act_type") == "relu"):
            continue
        source, output, *_ = node["inputs"][0]
        norm = nodes[source]
        if norm["op"] != "BatchNorm" or output != 0 or readers[source] != [number]:
            continue
        if _can_fuse(norm) and (not gradients or _keeps_gradients(nodes, norm, readers[number])):
            norm["op"] = FUSED_BN_RELU
            replaced[number] = source
    for entry in [entry for node in nodes for entry in node["inputs"]] + graph["heads"]:
        entry[0] = replaced.get(entry[0], entry[0])
    return mx.sym.load_json(json.dumps(graph))  # without the ReLUs, which nothing reads now


def _readers(nodes: list[_Node], heads: list[list[int]]) -> list[list[int]]:
    """For each node, the numbers of those that read it, once for each input; -1 stands for an output of the graph."""
    readers: list[list[int]] = [[] for _ in nodes]
    for number, inputs in [*((number, node["inputs"]) for number, node in enumerate(nodes)), (-1, heads)]:
        for source, *_ in inputs:
            readers[source].append(number)
    return readers


def _can_fuse(norm: _Node) -> bool:
    return _attribute(norm, "axis", "1") == "1"


def _keeps_gradients(nodes: list[_Node], norm: _Node, readers: typing.Sequence[int]) -> bool:
    """Whether the gradients of a BN are right if its ReLU, which `readers` read, is part of it."""
    if _attribute(norm, "use_global_stats", "False") != "False":
        return False
    # A convolution of few channels gives its gradient in smaller blocks than those of BN's input; the operator has no
    # backward pass then.
    convolutions = [reader for reader in readers if reader >= 0 and nodes[reader]["op"] == "Convolution"]
    return all(has_onednn_layout(nodes, number) for number in (norm["inputs"][0][0], *convolutions))


def _attribute(node: _Node, name: str, default: str | None = None) -> str | None:
    return node.get("attrs", {}).get(name, default)
