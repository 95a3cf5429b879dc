"""Parameters and multiply-adds of a network's parts, and memory of its attention blocks."""

from __future__ import annotations

import dataclasses
import re
from typing import Any, Sequence

import mxnet as mx

from a2net_gluon.blocks.double_attention import DISTRIBUTED, GATHERING_MAPS, RELATION
from a2net_gluon.blocks.non_local import ATTENTION_MAPS
from a2net_gluon.errors import UsageError
from a2net_gluon.insight.counting import Cost, itemized_cost
from a2net_gluon.insight.graph import Graph

__all__ = ["PARTS", "Intermediate", "breakdown", "intermediates", "stored_bytes"]

PARTS = ("stage", "block")
_FLOAT32 = 4  # bytes

# conv3_x__2_c1x1-a__conv_weight belongs to unit 2 of conv3, conv3_x__2_context__… to the context block of that unit,
# conv1_x_1__… to the stem, and MobileNetV2's conv9_x_1__… to a stage of a single convolution.
_IN_STAGE = re.compile(r"(?P<stage>conv\d+)_x_(_(?P<unit>\d+)_(?P<context>context__)?)?")


def breakdown(net: mx.gluon.HybridBlock, input_shape: Sequence[int], by: str = "block") -> dict[str, Cost]:
    """Divide the cost of `net` among its parts.

    Parameters
    ----------
    net : HybridBlock
        Initialized or not; one input.
    input_shape : tuple of int
        Of one image or clip, without the batch.
    by : {"stage", "block"}
        "stage": stem, conv2, …, tail (the last BN), fc. "block": the residual units and context blocks of the stages,
        e.g. ``conv3_x__2`` and ``conv3_x__2 context``.

    Returns
    -------
    dict of str to Cost
        In the network's order; the sum is `a2net_gluon.cost`.

    Raises
    ------
    UsageError
        If `by` is neither.
    """
    if by not in PARTS:
        raise UsageError(f"by is {by!r}; it must be one of {', '.join(PARTS)}")
    parts: dict[str, Cost] = {}
    for name, item in itemized_cost(net, input_shape):
        if item != Cost():  # most nodes have no parameters and no products
            part = _part(_own_name(net, name), by)
            parts[part] = parts.get(part, Cost()) + item
    return parts


def _own_name(net: mx.gluon.HybridBlock, name: str) -> str:
    """Return `name` without the prefix of `net`."""
    return name[len(net.prefix) :] if name.startswith(net.prefix) else name


def _part(name: str, by: str) -> str:
    found = _IN_STAGE.match(name)
    if not found:
        return name.split("_")[0]
    stage, unit = found["stage"], found["unit"]
    if unit and by == "block":
        return f"{stage}_x__{unit}{' context' if found['context'] else ''}"
    return "stem" if stage == "conv1" else stage


def stored_bytes(value_channels: int, attention_channels: int, locations: int) -> tuple[int, int]:
    """Return the bytes in float32 of the array between a block's two matrix products, for one input (section 2.3).

    Parameters
    ----------
    value_channels, attention_channels : int
        m and n.
    locations : int
        L, all locations of all frames.

    Returns
    -------
    tuple of int
        Bytes in the left association, m·n values, and in the right one, L² values. A non-local block stores L² too.
    """
    return _FLOAT32 * value_channels * attention_channels, _FLOAT32 * locations**2


@dataclasses.dataclass(frozen=True)
class Intermediate:
    """The array between the two matrix products of an attention block, see `stored_bytes`.

    Attributes
    ----------
    kind : {"double attention", "non-local"}
    locations : int
        L, for one input.
    left : int or None
        Bytes in the left association; None for non-local blocks, which have no such association.
    right : int
        Bytes in the right association or in a non-local block.
    stored : int
        Bytes as the block is built.
    """

    kind: str
    locations: int
    left: int | None
    right: int
    stored: int


def intermediates(net: mx.gluon.HybridBlock, input_shape: Sequence[int]) -> dict[str, Intermediate]:
    """Find the array between the two matrix products of each attention block of `net`.

    Parameters
    ----------
    net : HybridBlock
        A network or a single block; initialized or not.
    input_shape : tuple of int
        Of one image or clip, without the batch.

    Returns
    -------
    dict of str to Intermediate
        Keyed by the block's name in `breakdown`, in the network's order.
    """
    graph, found = Graph(net, input_shape), {}
    for node in graph.nodes:
        for maps, describe in ((GATHERING_MAPS, _of_double_attention), (ATTENTION_MAPS, _of_non_local)):
            if node["name"].endswith(maps):
                prefix = node["name"][: -len(maps)]
                name = _part(_own_name(net, prefix), "block") or net.name  # `net` may be the block itself
                found[name] = describe(graph, node, prefix)
    return found


def _of_double_attention(graph: Graph, gathering_maps: dict[str, Any], prefix: str) -> Intermediate:
    (_, n, locations), (_, m, _) = graph.shape(gathering_maps), graph.shape(graph.nodes_by_name[prefix + DISTRIBUTED])
    left, right = stored_bytes(m, n, locations)
    stored = right if prefix + RELATION in graph.nodes_by_name else left
    return Intermediate("double attention", locations, left, right, stored)


def _of_non_local(graph: Graph, attention_maps: dict[str, Any], _prefix: str) -> Intermediate:
    locations = graph.shape(attention_maps)[-1]
    _, stored = stored_bytes(0, 0, locations)
    return Intermediate("non-local", locations, None, stored, stored)
