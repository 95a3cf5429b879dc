"""YAML of lines ``name: value``, of a bounded size and depth; values are text that nothing expands or converts."""

from __future__ import annotations

import collections
import os
import typing

if typing.TYPE_CHECKING:
    import yaml

__all__ = ["Table", "Value", "read_yaml"]

_BYTES = 64 * 1024

Value = typing.Union[str, bool, None, typing.List[typing.Union[str, bool, None]]]
Table = typing.Dict[str, typing.Any]  # names with a `Value`, or with a table


def read_yaml(path: str | os.PathLike[str], levels: int = 1) -> Table:
    """Read names and values from the YAML file `path`.

    Parameters
    ----------
    path : str or Path
    levels : int
        1: every name has a value; more: down to this level it may have a table of names and values.

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
        _check_events(yaml.parse(text, yaml.SafeLoader), levels + 1)
        root = yaml.compose(text, yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from None
    if not isinstance(root, yaml.MappingNode):
        raise ValueError(_NO_LINES)
    return _table(root, levels)


_NO_LINES = "it is no list of 'name: value' lines"
_NO_VALUE = "a value must be a word, a number, or a list of such"


def _check_events(events: typing.Iterable[yaml.Event], deepest: int) -> None:
    """Refuse what takes a few bytes and fills the memory or runs code: aliases, depth, types of objects."""
    import yaml

    depth = 0
    for event in events:
        if isinstance(event, yaml.AliasEvent) or getattr(event, "tag", None):
            raise ValueError("it has an alias (*) or a tag (!)")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > deepest:
            raise ValueError(_NO_VALUE)


def _table(node: yaml.MappingNode, levels: int) -> Table:
    import yaml

    if not all(isinstance(name, yaml.ScalarNode) for name, _ in node.value):
        raise ValueError(_NO_LINES)
    twice = [name for name, count in collections.Counter(name.value for name, _ in node.value).items() if count > 1]
    if twice:
        raise ValueError(f"{twice[0]} is there twice: keep one")
    return {
        name.value: _table(part, levels - 1) if levels > 1 and isinstance(part, yaml.MappingNode) else _value(part)
        for name, part in node.value
    }


def _value(node: yaml.Node) -> Value:
    import yaml

    if isinstance(node, yaml.SequenceNode):
        return [_scalar(part) for part in node.value]
    return _scalar(node)


def _scalar(node: yaml.Node) -> str | bool | None:
    import yaml

    if not isinstance(node, yaml.ScalarNode):
        raise ValueError(_NO_VALUE)
    kind = node.tag.rpartition(":")[-1]
    if kind == "bool":
        return node.value.lower() in ("true", "yes", "on")
    return None if kind == "null" else node.value
