"""YAML of lines ``name: value``, of a bounded size and depth; values are text that nothing expands or converts."""

from __future__ import annotations

import collections
import os
import typing

if typing.TYPE_CHECKING:
    import yaml

__all__ = ["Value", "read_yaml"]

_BYTES = 64 * 1024
_DEPTH = 2  # a mapping with lists

Value = typing.Union[str, bool, None, typing.List[typing.Union[str, bool, None]]]


def read_yaml(path: str | os.PathLike[str]) -> dict[str, Value]:
    """Read names and values from the YAML file `path`.

    Returns
    -------
    dict
        Values as they are written, or as lists of such; true and false as bool, and None where there is none.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it is not of this form, names a value twice, or is too large.
    """
    import yaml

    with open(path, "rb") as file:
        content = file.read(_BYTES + 1)
    if len(content) > _BYTES:
        raise ValueError(f"it has more than {_BYTES // 1024} KB")
    text = content.decode("utf-8")
    try:
        _check_events(yaml.parse(text, yaml.SafeLoader))
        root = yaml.compose(text, yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from None
    if not isinstance(root, yaml.MappingNode) or not all(isinstance(name, yaml.ScalarNode) for name, _ in root.value):
        raise ValueError("it is no list of 'name: value' lines")
    twice = [name for name, count in collections.Counter(name.value for name, _ in root.value).items() if count > 1]
    if twice:
        raise ValueError(f"{twice[0]} is there twice: keep one")
    return {name.value: _value(node) for name, node in root.value}


def _check_events(events: typing.Iterable[yaml.Event]) -> None:
    """Refuse what takes a few bytes and fills the memory or runs code: aliases, depth, types of objects."""
    import yaml

    depth = 0
    for event in events:
        if isinstance(event, yaml.AliasEvent) or getattr(event, "tag", None):
            raise ValueError("it has an alias (*) or a tag (!)")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEPTH:
            raise ValueError("a value must be a word, a number, or a list of such")


def _value(node: yaml.Node) -> Value:
    import yaml

    if isinstance(node, yaml.SequenceNode):
        return [_scalar(part) for part in node.value]
    return _scalar(node)


def _scalar(node: yaml.Node) -> str | bool | None:
    import yaml

    if not isinstance(node, yaml.ScalarNode):
        raise ValueError("a value must be a word, a number, or a list of such")
    kind = node.tag.rpartition(":")[-1]
    if kind == "bool":
        return node.value.lower() in ("true", "yes", "on")
    return None if kind == "null" else node.value
