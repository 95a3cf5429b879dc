"""Parameters and multiply-adds of a network, counted on its traced graph, whatever code built it."""

from __future__ import annotations

import dataclasses
import math
import re
from typing import Any, Iterator, Sequence

import mxnet as mx

from a2net_gluon.blocks.double_attention import RELATION
from a2net_gluon.insight.graph import Graph

__all__ = ["Cost", "cost", "itemized_cost", "parameter_count"]

# The paper's "#Params" leave out the tail's BN and the bias of the fully connected layer (worked out from Table 2).
NOT_IN_PAPER_PARAMS = ("tail__bn_gamma", "tail__bn_beta", "tail__bn_running_mean", "tail__bn_running_var", "fc_bias")
# Operators that multiply matrices and that no network here uses: an error is better than a count without them.
UNCOUNTED = re.compile(
    r"Deconvolution|RNN|Correlation|dot|_linalg_.*|_contrib_(\w*DeformableConvolution|interleaved_.*)|\w*einsum"
)


@dataclasses.dataclass(frozen=True)
class Cost:
    """Cost of a network, or of a part of it, for one input; costs can be added.

    Attributes
    ----------
    params : int
        Every value of the network's parameter file, running means and variances included.
    trainable_params : int
        Values the optimizer moves.
    paper_params : int
        The paper's convention: `params` without the tail's BN and the bias of the fully connected layer.
    macs : int
        Multiply-adds of convolutions, fully connected layers and batched matrix products, as executed.
    paper_macs : int
        The paper's convention: the same with every double attention block in the left association, 2·m·n·L.
    """

    params: int = 0
    trainable_params: int = 0
    paper_params: int = 0
    macs: int = 0
    paper_macs: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(*(one + more for one, more in zip(vars(self).values(), vars(other).values())))


def parameter_count(net: mx.gluon.HybridBlock) -> int:
    """Return `Cost.params` of `net`, whose shapes are known, without tracing it."""
    return sum(math.prod(parameter.shape) for parameter in net.collect_params().values())


def cost(net: mx.gluon.HybridBlock, input_shape: Sequence[int]) -> Cost:
    """Count parameters and multiply-adds of `net` for one input.

    Parameters
    ----------
    net : HybridBlock
        Initialized or not; one input.
    input_shape : tuple of int
        Of one image or clip, without the batch: ``(3, 224, 224)``.

    Returns
    -------
    Cost

    Raises
    ------
    NotImplementedError
        If the graph contains a matrix product that this function cannot count.
    """
    return sum((item for _, item in itemized_cost(net, input_shape)), Cost())


def itemized_cost(net: mx.gluon.HybridBlock, input_shape: Sequence[int]) -> Iterator[tuple[str, Cost]]:
    """Yield name and `Cost` of every parameter of `net`, then of every node of its graph; see `cost`."""
    for name, parameter in net.collect_params().items():
        size = math.prod(parameter.shape)
        yield (
            name,
            Cost(
                params=size,
                trainable_params=0 if parameter.grad_req == "null" else size,
                paper_params=0 if name.endswith(NOT_IN_PAPER_PARAMS) else size,
            ),
        )
    graph = Graph(net, input_shape)
    for node in graph.nodes:
        yield node["name"], Cost(macs=_macs(graph, node), paper_macs=_paper_macs(graph, node))


def _macs(graph: Graph, node: dict[str, Any]) -> int:
    """Return the multiply-adds of one node as executed."""
    kind = node["op"]
    if UNCOUNTED.fullmatch(kind):
        raise NotImplementedError(f"node {node['name']}: multiply-adds of {kind} are not counted")
    if kind == "Convolution":
        weight = graph.shape(graph.inputs(node)[1])  # (out, in / groups, *kernel): a row holds one output's products
        return math.prod(graph.shape(node)) * math.prod(weight[1:])
    if kind == "FullyConnected":
        return math.prod(graph.shape(node)) * graph.shape(graph.inputs(node)[1])[1]
    if kind == "batch_dot":
        transposed = node.get("attrs", {}).get("transpose_a") in ("True", "1")
        left = graph.shape(graph.inputs(node)[0])
        return math.prod(graph.shape(node)) * left[-2 if transposed else -1]
    return 0


def _paper_macs(graph: Graph, node: dict[str, Any]) -> int:
    """Return the multiply-adds of one node as the paper counts them."""
    if node["op"] == "batch_dot" and node["name"].endswith(RELATION):
        return 0  # the first half of the right association; the second half below counts for both
    if node["op"] == "batch_dot" and graph.inputs(node)[1]["name"].endswith(RELATION):
        values, relation = graph.inputs(node)
        gathering = graph.inputs(relation)[0]
        (_, m, locations), (_, n, _) = graph.shape(values), graph.shape(gathering)
        return 2 * m * n * locations
    return _macs(graph, node)
