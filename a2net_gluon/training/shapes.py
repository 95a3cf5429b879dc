"""The shape of JSON values: which keys and types a file must have before it is believed."""

from __future__ import annotations

import typing

__all__ = ["ANY", "COUNT", "NUMBER", "OBJECT", "TEXT", "Shape", "check_shape"]

# A tuple of types; a list with the shape of all its elements; or a dict with the shapes of its keys, where `...` stands
# for all further keys.
Shape = typing.Union[tuple, list, dict]

ANY: Shape = ()
COUNT: Shape = (int,)
NUMBER: Shape = (int, float)
TEXT: Shape = (str,)
OBJECT: Shape = {...: ANY}


def check_shape(value: typing.Any, shape: Shape, name: str) -> None:
    """Raise a ValueError that names the first part of `value` that does not have its `shape`; `name` is its own."""
    if isinstance(shape, dict):
        _check_type(value, (dict,), name)
        for key in value:
            if key not in shape and ... not in shape:
                raise ValueError(f"{name}: {key!r} is unknown")
        for key in {*shape} - {...} - {*value}:
            raise ValueError(f"{name}: {key} is missing")
        for key, part in value.items():
            check_shape(part, shape.get(key, shape.get(...)), f"{name}: {key}")
    elif isinstance(shape, list):
        _check_type(value, (list,), name)
        for part in value:
            check_shape(part, shape[0], name)
    elif shape:
        _check_type(value, shape, name)


def _check_type(value: typing.Any, types: tuple, name: str) -> None:
    if type(value) not in types:  # True is an int, but no number in a file
        raise ValueError(f"{name} is {str(value)[:40]!r}")
