"""The command line of a training run, made of its settings: the inverse of parsing."""

from __future__ import annotations

import dataclasses
import typing

from a2net_gluon import settings
from a2net_gluon.fields import Option, Settings
from a2net_gluon.options.data import SWITCHES

__all__ = ["words_of"]


def words_of(training: settings.Training) -> list[str]:
    """Return ``train`` or ``train-video`` and the flags that make these settings when they are parsed."""
    clips = type(training.data) not in _OF_IMAGES
    return ["train-video" if clips else "train", *_switch(training.data), *_flags(training)]


# Data that the command for images can read; a network for clips can take some of them too.
_OF_IMAGES = (settings.Digits, settings.DigitPairs, settings.ImageFolder, settings.Records, settings.Synthetic)


def _switch(data: settings.Data) -> list[str]:
    return [SWITCHES[type(data)][0]] if type(data) in SWITCHES else []


def _flags(group: Settings) -> typing.Iterator[str]:
    """The flags of the fields that differ from their defaults, one word each, so that -1 is not taken for a flag."""
    for field in dataclasses.fields(group):
        value = getattr(group, field.name)
        if isinstance(value, Settings):
            yield from _flags(value)
        elif "option" in field.metadata and value != field.default:
            one: Option = field.metadata["option"]
            yield one.flags[-1] if value is True else f"{one.flags[-1]}={_text(value)}"


def _text(value: typing.Any) -> str:
    if isinstance(value, typing.Mapping):
        return "+".join(f"{name}:{_text(tuple(parts))}" for name, parts in value.items())
    if isinstance(value, tuple):
        return ",".join(map(_text, value))
    return str(value)
