"""Mutations of bytes, and of the structure of JSON (which is YAML too). All random numbers are of a NumPy generator."""

from __future__ import annotations

import copy
import json
import struct
import zlib

__all__ = ["mutated", "pick", "regraphed", "repaired_png", "restructured"]

_LENGTHS = (0, 1, 127, 255, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**63, 2**64 - 1)


def pick(rng, choices):
    """One of several values of any types."""
    choices = list(choices)
    return choices[rng.integers(len(choices))]


def mutated(rng, content, words=()):
    """Change `content` in one to four places; half of the results have the same length, and get further.

    Some changes insert one of `words`.
    """
    content = bytearray(content)
    changes = pick(rng, (_BYTES, _SAME_LENGTH))
    for _ in range(pick(rng, (1, 1, 2, 4))):
        start, end = sorted(int(place) for place in rng.integers(0, len(content) + 1, 2))
        pick(rng, changes)(rng, content, start, min(end, start + pick(rng, (1, 16, 4096))), words)
    return bytes(content)


def _flip(rng, content, start, end, words):
    if content:
        content[start % len(content)] ^= 1 << rng.integers(8)


def _replace(rng, content, start, end, words):
    if content:
        content[start % len(content)] = rng.integers(256)


def _cut(rng, content, start, end, words):
    del content[start:]


def _remove(rng, content, start, end, words):
    del content[start:end]


def _insert(rng, content, start, end, words):
    content[start:start] = pick(rng, words) if words and rng.random() < 0.7 else rng.bytes(rng.integers(1, 9))


def _double(rng, content, start, end, words):
    content[start:start] = content[start:end]


def _fill(rng, content, start, end, words):
    content[start:end] = bytes([pick(rng, (0, 32, 255))]) * (end - start)


def _set_length(rng, content, start, end, words):
    """A field that may be a length, a size or an offset: in the head of most formats."""
    size, order = pick(rng, (1, 2, 4, 8)), pick(rng, ("little", "big"))
    start = start % 256 if rng.random() < 0.7 else start
    content[start : start + size] = (int(pick(rng, _LENGTHS)) % 256**size).to_bytes(size, order)


_SAME_LENGTH = (_flip, _replace, _fill, _set_length)
_BYTES = (*_SAME_LENGTH, _cut, _remove, _insert, _double)


def repaired_png(content):
    """A PNG whose checksums are right again, as far as its chunks can be told: decoders look behind them."""
    content, place = bytearray(content), 8
    while place + 12 <= len(content):
        end = place + 8 + int.from_bytes(content[place : place + 4], "big")
        if end + 4 > len(content):
            break
        content[end : end + 4] = struct.pack(">I", zlib.crc32(content[place + 4 : end]))
        place = end + 4
    return bytes(content)


# What no JSON encoder writes, in place of the text that stands for it.
_RAW = {
    "@digits": "9" * 5000,
    "@deep": "[" * 50_000 + "]" * 50_000,
    "@deep objects": '{"a":' * 5000 + "1" + "}" * 5000,
    "@nan": "NaN",
    "@infinity": "-Infinity",
    "@large": "1e999",
    "@surrogate": '"\\ud800"',
    "@empty": "",
}
_VALUES = [None, True, False, 0, 1, -1, 3, 0.5, 1e-300, 1e38, 1e308, 2**31, 2**63, 10**30, "", "0", "nan", "x" * 9000]
_VALUES += ["\x1b[31m", "a\nb", "é", "../../x", [], {}, [[]], [None], {"": None}, ["a", 1], [0] * 1000, *_RAW]


class _Twice(dict):
    """An object that is written with its last key twice."""

    def items(self):
        return [*super().items(), *list(super().items())[-1:]]


def restructured(rng, value):
    """JSON text of `value`, an object or a list, changed in one to four places."""
    value = copy.deepcopy(value)
    for _ in range(pick(rng, (1, 1, 2, 4))):
        holder, key = pick(rng, _places(value))
        holder[key] = _Twice(holder[key]) if _is_object(holder[key]) and rng.random() < 0.3 else holder[key]
        change = rng.integers(5)
        if change == 0:
            del holder[key]
        elif change == 1 and isinstance(holder, dict):
            holder[pick(rng, ("", "x", "__init__", key.upper(), f"{key} "))] = holder.pop(key)
        elif change == 2:  # a value of another place
            other, name = pick(rng, _places(value))
            holder[key] = copy.deepcopy(other[name])
        else:
            holder[key] = copy.deepcopy(pick(rng, _VALUES))
        if not value:
            break
    text = json.dumps(_Twice(value) if _is_object(value) and rng.random() < 0.1 else value)
    for name, raw in _RAW.items():
        text = text.replace(json.dumps(name), raw)
    return text.encode()


_ATTRIBUTES = (
    "0",
    "1",
    "2",
    "3",
    "7",
    "16",
    "1024",
    "65536",
    "-1",
    "True",
    "False",
    "None",
    "(1, 1)",
    "(3, 3)",
    "(0,)",
)


def regraphed(rng, graph):
    """JSON of a graph of MXNet that is a graph again, with one to three operators that do something else."""
    graph = copy.deepcopy(graph)
    nodes = graph["nodes"]
    operators = [number for number, node in enumerate(nodes) if node["op"] != "null"]
    for _ in range(pick(rng, (1, 1, 2, 3))):
        number = pick(rng, operators)
        node, other = nodes[number], nodes[pick(rng, operators)]
        attributes = node.setdefault("attrs", {})
        change = rng.integers(5)
        if change == 0 and attributes:
            attributes[pick(rng, attributes)] = pick(rng, _ATTRIBUTES)
        elif change == 1 and other.get("attrs"):  # an attribute of another operator
            name = pick(rng, other["attrs"])
            attributes[name] = other["attrs"][name]
        elif change == 2 and attributes:
            del attributes[pick(rng, attributes)]
        elif change == 3:  # another array from before it
            node["inputs"][rng.integers(len(node["inputs"]))] = [int(rng.integers(number)), 0, 0]
        else:  # another operator with as many inputs
            node["op"] = pick(rng, [one["op"] for one in nodes if len(one["inputs"]) == len(node["inputs"])])
    return json.dumps(graph).encode()


def _is_object(value):
    return isinstance(value, dict) and bool(value)


def _places(value):
    """Every place inside `value`, as the object or list and the key; the outer ones more often than they are many."""
    found, level = [], [value]
    while level:
        inside = [(one, key) for one in level for key in (one if isinstance(one, dict) else range(len(one)))]
        found += inside[:200]
        level = [one[key] for one, key in inside[:2000] if isinstance(one[key], (dict, list)) and one[key]]
    return found
