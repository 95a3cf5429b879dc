"""Suggestions for misspelt names and keywords."""

from __future__ import annotations

import difflib
import functools
import inspect
import typing

from a2net_gluon.errors import UsageError

__all__ = ["look_up", "suggest_keywords"]

_Value = typing.TypeVar("_Value")
_Function = typing.TypeVar("_Function", bound=typing.Callable[..., typing.Any])


def look_up(table: typing.Mapping[str, _Value], name: typing.Any, kind: str) -> _Value:
    """Return ``table[name]``.

    Raises
    ------
    UsageError
        If `table` has no such name; the message says "unknown `kind`" and suggests a similar name.
    """
    if isinstance(name, str) and name in table:
        return table[name]
    raise UsageError(f"unknown {kind} {name!r}; {_suggestion(name, table)}")


def suggest_keywords(function: _Function) -> _Function:
    """Add a suggestion from the signature of `function` to the TypeError of an unexpected keyword argument."""
    known = list(inspect.signature(function).parameters)

    @functools.wraps(function)
    def call(*args: typing.Any, **kwargs: typing.Any) -> typing.Any:
        for key in kwargs:
            if key not in known:
                raise TypeError(
                    f"{function.__name__}() got an unexpected keyword argument {key!r}; {_suggestion(key, known)}"
                )
        return function(*args, **kwargs)

    return typing.cast(_Function, call)


def _suggestion(name: typing.Any, known: typing.Iterable[str]) -> str:
    close = difflib.get_close_matches(str(name), known, n=1)
    return f"{f'did you mean {close[0]!r}? ' if close else ''}there are: {', '.join(sorted(known))}"
