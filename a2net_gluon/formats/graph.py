"""The structure of MXNet's graphs (symbol.json): operators that compute with arrays only, connected as they must be.

MXNet 1.9.1 trusts a graph: some operators of its list call an address that stands in the file, and a missing input or a
division by zero ends the process.
"""

from __future__ import annotations

import json
import math
import os
import re
import typing

from a2net_gluon.formats.bounded_json import read_json

__all__ = ["OPERATORS", "read_graph"]

_Object = typing.Dict[str, typing.Any]

# The operators of a permitted graph, with the number of their inputs; None where attributes decide, see `_input_count`.
OPERATORS: dict[str, int | None] = {
    "Activation": 1,
    "BatchNorm": 5,
    "Cast": 1,
    "Concat": None,
    "Convolution": None,
    "Dropout": 1,
    "Flatten": 1,
    "FullyConnected": None,
    "Pooling": 1,
    "Reshape": 1,
    "_contrib_BatchNormWithReLU": 5,
    "_copy": 1,
    "_div_scalar": 1,
    "_minus_scalar": 1,
    "_mul_scalar": 1,
    "_plus_scalar": 1,
    "batch_dot": 2,
    "broadcast_add": 2,
    "broadcast_div": 2,
    "broadcast_mul": 2,
    "broadcast_sub": 2,
    "clip": 1,
    "elemwise_add": 2,
    "elemwise_div": 2,
    "elemwise_mul": 2,
    "elemwise_sub": 2,
    "log_softmax": 1,
    "mean": 1,
    "relu": 1,
    "reshape_like": 2,
    "sigmoid": 1,
    "slice": 1,
    "softmax": 1,
    "transpose": 1,
}
# oneDNN's fused operators: the first operator of the graph inside, and what flags say about those that follow it.
_FUSED = {"_sg_mkldnn_conv": "Convolution", "_sg_mkldnn_fully_connected": "FullyConnected"}
_ACTIVATIONS = {"Activation", "clip", "relu", "sigmoid"}
_FLAGS = {
    "with_bn": {"BatchNorm"},
    "with_sum": {"elemwise_add"},
    **dict.fromkeys(("with_act", "with_postsum_act", "with_eltwise"), _ACTIVATIONS),
}
_NODES = 20000
_TEXT = 1000  # length of a name or an attribute
_LARGEST = 2**31 - 1
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
# Attributes of whole numbers with their smallest; MXNet divides by some and takes others for lengths.
_LEAST = {
    **dict.fromkeys(("kernel", "stride", "dilate", "num_filter", "num_group", "num_hidden", "num_args", "step"), 1),
    **dict.fromkeys(("pad", "begin", "lhs_begin", "lhs_end", "rhs_begin", "rhs_end", "axes"), 0),
    "shape": -1,
}


def read_graph(path: str | os.PathLike[str]) -> str:
    """Read the graph in file `path`, and return it as JSON that holds what was checked and nothing else.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it is no graph, or one that may not be run.
    """
    graph = read_json(path)
    _check_graph(graph)
    return json.dumps(graph)


def _check_graph(graph: typing.Any, fused: bool = False) -> None:
    _check_fields(graph, ("nodes", "arg_nodes", "heads"), ("node_row_ptr", "attrs"))
    nodes = graph["nodes"]
    if not isinstance(nodes, list) or not 0 < len(nodes) <= _NODES:
        raise ValueError(f"its nodes are no list of 1 to {_NODES}")
    for number, node in enumerate(nodes):
        _check_fields(node, ("op", "name", "inputs"), ("attrs", "subgraphs"))
        _check_texts(node)
        _check_entries(node["inputs"], number)
        _check_operator(node, fused)
    _check_entries(graph["heads"], len(nodes))
    variables = [number for number, node in enumerate(nodes) if node["op"] == "null"]
    if not graph["heads"] or graph["arg_nodes"] != variables:
        raise ValueError("its inputs and outputs are not those of its nodes")
    _check_whole_numbers(graph.get("node_row_ptr", []))
    if set(graph.get("attrs", {})) - {"mxnet_version"}:
        raise ValueError("it has unknown attributes")
    version = graph.get("attrs", {}).get("mxnet_version", ["int", 0])
    if not isinstance(version, list) or version[:1] != ["int"] or len(version) != 2:
        raise ValueError(f"its version is {version!r}")
    _check_whole_numbers(version[1:])


def _check_fields(what: typing.Any, needed: typing.Sequence[str], known: typing.Sequence[str]) -> None:
    if not isinstance(what, dict) or not {*needed} <= {*what} <= {*needed, *known}:
        raise ValueError(f"a part of it is no object with the fields {', '.join(needed)}")
    if not isinstance(what.get("attrs", {}), dict):
        raise ValueError("its attributes are no object")


def _check_texts(node: _Object) -> None:
    for text in (node["op"], node["name"], *node.get("attrs", {}), *node.get("attrs", {}).values()):
        if not isinstance(text, str) or len(text) > _TEXT:
            raise ValueError(f"a name or an attribute is no text of at most {_TEXT} characters")


def _check_entries(entries: typing.Any, nodes: int) -> None:
    """Check the first outputs of nodes, ``[node, 0, version]``, of which the first `nodes` may be named."""
    if not isinstance(entries, list):
        raise ValueError("the inputs of a node are no list")
    for entry in entries:
        if not isinstance(entry, list) or len(entry) != 3:
            raise ValueError(f"an input is {entry!r}")
        _check_whole_numbers(entry)
        if entry[0] >= nodes or entry[1]:
            raise ValueError(f"an input is {entry!r}, and there is no such output before it")


def _check_whole_numbers(values: typing.Any) -> None:
    if not isinstance(values, list) or not all(type(value) is int and 0 <= value <= _LARGEST for value in values):
        raise ValueError(f"it has {values!r} in place of whole numbers")


def _check_operator(node: _Object, fused: bool) -> None:
    operator, inputs, attributes = node["op"], len(node["inputs"]), node.get("attrs", {})
    for name, value in attributes.items():
        _check_attribute(f"{name} of {node['name']}", name, value)
    if operator in _FUSED and not fused:
        expected = _check_fused(node)
    elif operator != "null" and operator not in OPERATORS:
        raise ValueError(f"the operator {operator!r} of {node['name']} is not permitted")
    elif "subgraphs" in node:
        raise ValueError(f"{node['name']} has a graph inside")
    else:
        expected = 0 if operator == "null" else _input_count(operator, attributes)
    if inputs != expected:
        raise ValueError(f"{node['name']} has {inputs} inputs in place of {expected}")


def _input_count(operator: str, attributes: typing.Mapping[str, str]) -> int:
    count = OPERATORS[operator]
    if count is not None:
        return count
    if operator == "Concat":
        return int(attributes.get("num_args", 0))
    return 2 if attributes.get("no_bias", "False").lower() in ("true", "1") else 3


def _check_attribute(what: str, name: str, value: str) -> None:
    """Check that the numbers in an attribute are within bounds."""
    if name.startswith("__"):  # MXNet keeps notes about variables under such names
        return
    numbers = [float(number) for number in _NUMBER.findall(value)]
    if not all(math.isfinite(number) and abs(number) <= _LARGEST for number in numbers):
        raise ValueError(f"{what} is {value!r}")
    if name in _LEAST and not (numbers or (value == "()" and not _LEAST[name])):
        raise ValueError(f"{what} is {value!r}; it must be a whole number or several")
    if name in _LEAST and not all(number >= _LEAST[name] for number in numbers):
        raise ValueError(f"{what} is {value!r}; each number must be at least {_LEAST[name]}")
    if name == "axes" and sorted(numbers) != list(range(len(numbers))):
        raise ValueError(f"{what} is {value!r}, which is no order of axes")


def _check_fused(node: _Object) -> int:
    """Check the graph inside one of oneDNN's fused operators; return the number of inputs that it has."""
    inside = node.get("subgraphs")
    if not isinstance(inside, list) or len(inside) != 1:
        raise ValueError(f"{node['name']} has no graph inside")
    _check_graph(inside[0], fused=True)
    flags = {name: value for name, value in node.get("attrs", {}).items() if not name.startswith("__")}
    known = {*flags} <= {*_FLAGS} and {*flags.values()} <= {"true"}
    if not known or not _is_chain(inside[0], [{_FUSED[node["op"]]}, *(_FLAGS[flag] for flag in flags)]):
        raise ValueError(f"{node['name']} does not hold what its attributes say")
    return len(inside[0]["arg_nodes"])


def _is_chain(graph: _Object, kinds: typing.Sequence[set[str]]) -> bool:
    """Whether a graph has one operator of each kind, the first in front, and each reads the one before it."""
    nodes = graph["nodes"]
    chain = [number for number, node in enumerate(nodes) if node["op"] != "null"]
    operators = [nodes[number]["op"] for number in chain]
    held = [operator in kind for operator, kind in zip(operators[:1], kinds)]
    held += [any(operator in kind for operator in operators[1:]) for kind in kinds[1:]]
    held += [before in _sources(nodes[number]["inputs"]) for before, number in zip(chain, chain[1:])]
    return len(operators) == len(kinds) and all(held) and _sources(graph["heads"]) == chain[-1:]


def _sources(entries: typing.Sequence[typing.Sequence[int]]) -> list[int]:
    return [entry[0] for entry in entries]
