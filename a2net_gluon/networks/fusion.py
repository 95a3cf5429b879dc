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
        if norm["op"] == "BatchNorm" and output == 0 and readers[source] == 1 and _can_fuse(nodes, norm, gradients):
            norm["op"] = FUSED_BN_RELU
            replaced[number] = source
    for entry in [entry for node in nodes for entry in node["inputs"]] + graph["heads"]:
        entry[0] = replaced.get(entry[0], entry[0])
    return mx.sym.load_json(json.dumps(graph))  # without the ReLUs, which nothing reads now


def _readers(nodes: list[_Node], heads: list[list[int]]) -> list[int]:
    """For each node, the number of inputs of other nodes and outputs of the graph that it is."""
    readers = [0] * len(nodes)
    for entry in [entry for node in nodes for entry in node["inputs"]] + heads:
        readers[entry[0]] += 1
    return readers


def _can_fuse(nodes: list[_Node], norm: _Node, gradients: bool) -> bool:
    if _attribute(norm, "axis", "1") != "1":
        return False
    own_statistics = _attribute(norm, "use_global_stats", "False") == "False"
    return not gradients or (own_statistics and has_onednn_layout(nodes, norm["inputs"][0][0]))


def _attribute(node: _Node, name: str, default: str | None = None) -> str | None:
    return node.get("attrs", {}).get(name, default)
