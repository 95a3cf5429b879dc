"""JSON of a bounded size and depth: the one way in which this package reads JSON files."""

from __future__ import annotations

import json
import os
import typing

__all__ = ["parse_json", "read_json"]

_BYTES = 16 * 2**20  # the graph of ResNet-152 has half a million
_DEPTH = 32  # a fused graph has 9 levels
_DIGITS = 400  # of a whole number; the time for more grows with their square


def read_json(path: str | os.PathLike[str]) -> typing.Any:
    """Read the JSON file `path`.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it is not JSON in UTF-8, or too large or too deep.
    """
    with open(path, "rb") as file:
        content = file.read(_BYTES + 1)
    return parse_json(content)


def parse_json(content: bytes) -> typing.Any:
    """Return the value of JSON in UTF-8; ValueError if it is not, or is too large or too deep."""
    if len(content) > _BYTES:
        raise ValueError(f"it has more than {_BYTES // 2**20} MB")
    try:
        value = json.loads(content.decode("utf-8"), parse_int=_whole)
    except RecursionError:
        raise _too_deep() from None
    _check_depth(value)
    return value


def _whole(text: str) -> int:
    if len(text) > _DIGITS:
        raise ValueError(f"it holds a number of {len(text)} digits")
    return int(text)


def _check_depth(value: typing.Any) -> None:
    level = [value]
    for _ in range(_DEPTH + 1):
        level = [one for one in level if isinstance(one, (dict, list))]
        if not level:
            return
        level = [part for one in level for part in (one.values() if isinstance(one, dict) else one)]
    raise _too_deep()


def _too_deep() -> ValueError:
    return ValueError(f"it is nested more than {_DEPTH} levels deep")
