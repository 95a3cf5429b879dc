"""The argument parser of all commands, and conversions of single values."""

from __future__ import annotations

import argparse
import typing

from a2net_gluon.fields import COUNT, Rule
from a2net_gluon.terminal import printable

__all__ = ["Parser", "count", "number", "truth", "typed"]

_TRUTH = {"true": True, "false": False}


class Parser(argparse.ArgumentParser):
    """An argument parser that takes no abbreviations and reports an error in one line."""

    def __init__(self, **kwargs: typing.Any) -> None:
        super().__init__(allow_abbrev=False, **kwargs)

    def parse_known_args(self, *args: typing.Any, **kwargs: typing.Any) -> typing.Any:
        """Parse as argparse does, which takes the value of ``--flag=--`` for a separator and stores an empty list."""
        found, others = super().parse_known_args(*args, **kwargs)
        for action in self._actions:
            if action.nargs is None and getattr(found, action.dest, None) == []:
                self.error(f"argument {'/'.join(action.option_strings)}: expected one argument")
        return found, others

    def error(self, message: str) -> typing.NoReturn:
        """Exit with code 2 after one line, also if an argument has several."""
        self.exit(2, f"{self.prog}: error: {printable(message)} (see {self.prog} --help)\n")


def typed(parse: typing.Callable[[str], typing.Any]) -> typing.Callable[[str], typing.Any]:
    """Make an argparse type of a function that raises ValueError; its message is kept."""

    def convert(text: str) -> typing.Any:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return convert


def number(rule: Rule) -> typing.Callable[[str], typing.Any]:
    """Make an argparse type of a rule."""
    return typed(rule.parse)


count = number(COUNT)


@typed
def truth(text: str) -> bool:
    """Convert "true" or "false"."""
    if text.lower() not in _TRUTH:
        raise ValueError(f"{text!r} is neither true nor false")
    return _TRUTH[text.lower()]
