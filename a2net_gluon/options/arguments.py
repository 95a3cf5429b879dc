"""Conversion of options to arguments of a parser, and of parsed values to settings."""

from __future__ import annotations

import argparse
import dataclasses
import typing

from a2net_gluon.fields import Option, Settings, default_in_words, options_of
from a2net_gluon.options.types import Parser, truth, typed

__all__ = ["add_option", "add_settings", "build", "given"]

_SettingsType = typing.TypeVar("_SettingsType", bound=Settings)


def add_settings(
    parser: Parser, settings: type[Settings], title: str, only: typing.Sequence[str] = (), switches: bool = False
) -> None:
    """Add a group with the options of a settings class; unset arguments are None.

    Parameters
    ----------
    parser : Parser
    settings : type
    title : str
        Of the group in the help text.
    only : sequence of str
        Fields to add; default: all that have an option.
    switches : bool
        Flags without a value also take "true" and "false": ``FLAG false`` turns off what a recipe turned on.
    """
    group = parser.add_argument_group(title)
    exclusive: dict[str, typing.Any] = {}
    for field in dataclasses.fields(settings):
        one = field.metadata.get("option")
        if one is None or (only and field.name not in only):
            continue
        where = group
        if one.exclusive:
            if one.exclusive not in exclusive:
                exclusive[one.exclusive] = group.add_mutually_exclusive_group()
            where = exclusive[one.exclusive]
        add_option(where, one, field.default, switches)


def add_option(group: typing.Any, one: Option, default: typing.Any, switches: bool = False) -> None:
    """Add the argument of one option."""
    help_text = (one.help + default_in_words(default, one)).replace("%", "%%")
    words: dict[str, typing.Any] = {"help": help_text}
    if one.flags:
        words.update(dest=one.name, default=None)
    if isinstance(default, bool):
        if switches:
            words.update(nargs="?", const=True, type=truth, metavar="false")
        else:
            words.update(action="store_true")
        group.add_argument(*one.flags, **words)
        return
    if one.choices:
        words["choices"] = one.choices
    if one.metavar:
        words["metavar"] = one.metavar
    if one.many:
        words["nargs"] = "+"
    words["type"] = _converter(one)
    group.add_argument(*(one.flags or (one.name,)), **words)


def _converter(one: Option) -> typing.Callable[[str], typing.Any]:
    parse = one.parse or (one.rule.parse if one.rule else str)
    return typed(_list_of(parse, one.rule.words if one.rule else "a word")) if one.sequence else typed(parse)


def _list_of(parse: typing.Callable[[str], typing.Any], words: str) -> typing.Callable[[str], typing.Any]:
    def convert(text: str) -> tuple[typing.Any, ...]:
        values = tuple(parse(part) for part in text.split(",") if part)
        if not values:
            raise ValueError(f"{text!r} is empty; it must be a list such as 1,2, each {words}")
        return values

    return convert


def given(args: argparse.Namespace) -> dict[str, typing.Any]:
    """The values that the user gave, by the options' names."""
    return {name: value for name, value in vars(args).items() if value is not None}


def build(
    settings: type[_SettingsType], values: typing.Mapping[str, typing.Any], **fields: typing.Any
) -> _SettingsType:
    """Make settings of parsed values; what is missing has its default.

    Parameters
    ----------
    settings : type
    values : dict
        By the options' names; names of other settings are ignored.
    fields
        Fields with settings that are already made.
    """
    options = options_of(settings)
    for field in dataclasses.fields(settings):
        if field.name in fields:
            continue
        if field.name in options:
            if options[field.name].name in values:
                fields[field.name] = values[options[field.name].name]
        elif isinstance(field.default, Settings):
            fields[field.name] = build(type(field.default), values)
    return settings(**fields)
