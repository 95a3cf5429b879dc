"""Clips in four dimensions, for networks on the CPU.

A clip, (N, c, t, h, w), is computed as (N, c, t, h·w) wherever no kernel extends over h and w: the same numbers. MXNet
1.9.1 has BN of four dimensions only, and oneDNN's 1×1 convolutions are faster than its 1×1×1 convolutions, those with a
stride by far. Networks are written in five dimensions, and their graphs are rewritten where they run.

Between both forms stand copies in the plain order of values: before each reshape, whose forward pass may not meet an
array in one of oneDNN's layouts, and behind it for its backward pass, see
`a2net_gluon.mxnet_fixes.copy_to_plain_layout`.
"""

from __future__ import annotations

import ast
import dataclasses
import json
import typing

import mxnet as mx

__all__ = ["fold_clips"]

_Entry = typing.List[int]  # number of a node in the new graph, number of its output, version
_Node = typing.Dict[str, typing.Any]  # of a graph, as in the symbol's JSON

_FOLD = "(0, 0, 0, -1)"  # (N, c, t, h, w) to (N, c, t, h·w), and weights (c', c, 1, 1, 1) to (c', c, 1, 1)
_ROW = "(0, 0, -1)"  # all locations in a row
_SAME_ORDER = "(0, 1, 2, 3, 4)"
_BY_VALUE = ("Activation", "elemwise_add", "broadcast_mul", "sigmoid")  # computed at each location alone


def fold_clips(symbol: mx.sym.Symbol, gradients: bool = True) -> mx.sym.Symbol:
    """Rewrite a graph so that clips have four dimensions wherever no kernel extends over height and width.

    Parameters, inputs and outputs keep their names and shapes. A graph without 3-D convolutions is returned as it is.

    Parameters
    ----------
    symbol : mxnet.sym.Symbol
    gradients : bool
        Whether gradients are computed, which takes the copies behind the reshapes.

    Returns
    -------
    mxnet.sym.Symbol
    """
    graph = json.loads(symbol.tojson())
    if not any(_is_3d_convolution(node) for node in graph["nodes"]):
        return symbol
    return mx.sym.load_json(json.dumps(_Folding(gradients).rewrite(graph)))


@dataclasses.dataclass
class _Clip:
    """A clip in the new graph, in one form or both.

    Attributes
    ----------
    like : list of int
        A node's output of five dimensions and the same h and w.
    five, four : list of int or None
        The clip as (N, c, t, h, w) and as (N, c, t, h·w).
    """

    like: _Entry
    five: _Entry | None = None
    four: _Entry | None = None


_Value = typing.Union[_Entry, _Clip]


class _Folding:
    """The new graph while it grows, node by node of the old one."""

    def __init__(self, gradients: bool) -> None:
        self._gradients = gradients
        self._nodes: list[_Node] = []
        self._folded: set[int] = set()  # numbers of nodes whose output is a clip in four dimensions

    def rewrite(self, graph: dict[str, typing.Any]) -> dict[str, typing.Any]:
        """Return the graph of the new nodes."""
        values: list[_Value] = []
        for node in graph["nodes"]:
            inputs = [self._output(values[source], output, version) for source, output, version in node["inputs"]]
            values.append(self._rewritten(node, inputs))
        heads = [self._in_five(self._output(values[source], *output)) for source, *output in graph["heads"]]
        arguments = [number for number, node in enumerate(self._nodes) if node["op"] == "null"]
        return {"nodes": self._nodes, "arg_nodes": arguments, "heads": heads, "attrs": graph["attrs"]}

    @staticmethod
    def _output(value: _Value, output: int, version: int = 0) -> _Value:
        return value if isinstance(value, _Clip) else [value[0], output, version]

    def _rewritten(self, node: _Node, inputs: list[_Value]) -> _Value:
        """Add what computes `node` in the new graph."""
        if _is_3d_convolution(node):
            return self._convolution(node, *inputs)
        clips = [each for each in inputs if isinstance(each, _Clip)]
        if not clips:
            entry = self._copy(node, inputs)
            # BN keeps the form of its input.
            return self._mark_folded(entry) if node["op"] == "BatchNorm" and self._is_folded(inputs[0]) else entry
        if node["op"] in _BY_VALUE and len(clips) == len(inputs):
            return _Clip(clips[0].like, four=self._copy(node, [self._in_four(clip) for clip in clips]))
        if node["op"] == "reshape_like" and isinstance(inputs[0], list):
            return self._reshape_like(node, inputs[0], clips[0])
        attributes = node.get("attrs", {})
        if node["op"] == "transpose" and attributes.get("axes") == _SAME_ORDER:
            return clips[0]
        if node["op"] == "Reshape" and attributes.get("shape") == _FOLD:
            return self._mark_folded(self._in_four(clips[0]))
        if node["op"] == "Reshape" and attributes.get("shape") == _ROW:
            return self._copy(node, [self._in_four(clips[0])])
        entry = self._copy(node, [self._in_five(each) for each in inputs])
        return _Clip(entry, five=entry) if node["op"] == "Pooling" else entry

    def _convolution(self, node: _Node, data: _Value, weight: _Value, *bias: _Value) -> _Clip:
        kernel, (step, *steps), pad = (_lengths(node, *each) for each in (("kernel",), ("stride", 1), ("pad", 0)))
        clip = data if isinstance(data, _Clip) else _Clip(data, five=data)
        if kernel != (1, 1, 1) or any(pad):
            entry = self._copy(node, [self._in_five(clip), weight, *bias])
            return _Clip(entry, five=entry)
        if steps != [1, 1]:  # compute at these locations only
            everything = {"begin": "(0, 0, 0, 0, 0)", "end": str((None,) * 5), "step": str((1, 1, step, *steps))}
            smaller = self._add("slice", node["name"], everything, self._in_plain_five(clip))
            clip, step = _Clip(smaller, four=self._fold(smaller)), 1
        flat = {"kernel": "(1, 1)", "stride": str((step, 1)), "pad": "(0, 0)", "dilate": "(1, 1)", "layout": "NCHW"}
        weight = self._add("Reshape", node["name"], {"shape": _FOLD}, weight)
        entry = self._copy({**node, "attrs": {**node["attrs"], **flat}}, [self._in_four(clip), weight, *bias])
        return _Clip(clip.like, four=entry)

    def _reshape_like(self, node: _Node, data: _Entry, clip: _Clip) -> _Value:
        if self._is_folded(data):  # the end of a BN of clips
            return _Clip(clip.like, four=data)
        if node.get("attrs", {}).get("lhs_begin") == "2":  # from a row of all locations
            attributes = {**node["attrs"], "rhs_end": "4"}
            return _Clip(clip.like, four=self._copy({**node, "attrs": attributes}, [data, self._in_four(clip)]))
        return self._copy(node, [data, self._in_five(clip)])

    def _in_four(self, clip: _Clip) -> _Entry:
        if clip.four is None:
            assert clip.five is not None
            clip.four = self._fold(self._plain(clip.five, 5))
        return clip.four

    def _in_five(self, value: _Value) -> _Entry:
        if not isinstance(value, _Clip):
            return value
        if value.five is None:
            value.five = self._behind(self._in_plain_five(value), 5)
        return value.five

    def _in_plain_five(self, clip: _Clip) -> _Entry:
        """Return the clip in five dimensions for operators that leave its values in their plain order."""
        if clip.four is None:
            return self._plain(self._in_five(clip), 5)
        last = {"lhs_begin": "3", "lhs_end": "4", "rhs_begin": "3", "rhs_end": "5"}
        return self._add("reshape_like", self._name(clip.four), last, self._plain(clip.four, 4), clip.like)

    def _fold(self, plain: _Entry) -> _Entry:
        return self._behind(self._add("Reshape", self._name(plain), {"shape": _FOLD}, plain), 4)

    def _behind(self, reshaped: _Entry, ndim: int) -> _Entry:
        return self._plain(reshaped, ndim) if self._gradients else reshaped

    def _plain(self, entry: _Entry, ndim: int) -> _Entry:
        return self._add("transpose", self._name(entry), {"axes": str(tuple(range(ndim)))}, entry)

    def _is_folded(self, value: _Value) -> bool:
        return isinstance(value, list) and value[0] in self._folded

    def _mark_folded(self, entry: _Entry) -> _Entry:
        self._folded.add(entry[0])
        return entry

    def _name(self, entry: _Entry) -> str:
        return self._nodes[entry[0]]["name"]

    def _copy(self, node: _Node, inputs: typing.Sequence[_Value]) -> _Entry:
        """Add a node of the old graph with other inputs."""
        self._nodes.append({**node, "inputs": inputs})
        return [len(self._nodes) - 1, 0, 0]

    def _add(self, operator: str, name: str, attributes: dict[str, str], *inputs: _Value) -> _Entry:
        """Add a node that the old graph does not have, with a name from that of another."""
        name = f"{name}_{operator.lower()}{len(self._nodes)}"
        return self._copy({"op": operator, "name": name, "attrs": attributes}, inputs)


def _is_3d_convolution(node: _Node) -> bool:
    return node["op"] == "Convolution" and len(_lengths(node, "kernel")) == 3


def _lengths(node: _Node, name: str, default: int | None = None) -> tuple[typing.Any, ...]:
    """Return an attribute with one number per dimension of a 3-D convolution."""
    return ast.literal_eval(node["attrs"].get(name, str((default,) * 3)))
