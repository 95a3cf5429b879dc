"""The options of data: an image folder, record files, a synthetic batch, or the embedded digits."""

from __future__ import annotations

import dataclasses
import typing

from a2net_gluon import settings
from a2net_gluon.errors import UsageError
from a2net_gluon.options.arguments import add_option, build
from a2net_gluon.options.types import Parser

__all__ = ["add_data_options", "data_of"]


def add_data_options(parser: Parser) -> None:
    """Add the flags that name the data."""
    group = parser.add_argument_group("data (default: the handwritten digits of scikit-learn)")
    added: set[str] = set()
    for kind in (settings.ImageFolder, settings.Records, settings.Synthetic):
        if kind is settings.Records:
            group.add_argument("--use-rec", action="store_true", default=None, help="read record files")
        if kind is settings.Synthetic:
            group.add_argument(
                "--benchmark", action="store_true", default=None, help="train on one synthetic batch, repeated"
            )
        for field in dataclasses.fields(kind):
            one = field.metadata["option"]
            if one.name not in added:
                add_option(group, one, field.default)
                added.add(one.name)


def data_of(values: typing.Mapping[str, typing.Any]) -> settings.Data:
    """Make the settings of the data that parsed values name.

    Raises
    ------
    UsageError
        If they name two kinds of data.
    """
    records = values.get("use_rec") or values.get("rec_train") or values.get("rec_val")
    kinds: dict[str, tuple[typing.Any, type]] = {
        "--data-dir": (values.get("data_dir"), settings.ImageFolder),
        "--use-rec": (records, settings.Records),
        "--benchmark": (values.get("benchmark"), settings.Synthetic),
    }
    named = [flag for flag, (value, _) in kinds.items() if value]
    if len(named) > 1:
        raise UsageError(f"{named[0]} and {named[1]} both name the data: give one of them")
    return build(kinds[named[0]][1] if named else settings.Digits, values)
