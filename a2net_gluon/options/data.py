"""The options of data: what images or clips are read from, or the embedded digits."""

from __future__ import annotations

import dataclasses
import typing

from a2net_gluon import settings
from a2net_gluon.errors import UsageError
from a2net_gluon.options.arguments import add_option, build
from a2net_gluon.options.types import Parser

__all__ = ["CLIPS", "IMAGES", "SWITCHES", "DataOptions", "add_data_options", "data_of"]

# The switches of kinds of data whose fields do not name them.
_BENCHMARK = ("--benchmark", "train on one synthetic batch, repeated")
SWITCHES: dict[type, tuple[str, str]] = {
    settings.Records: ("--use-rec", "read record files"),
    settings.PackedClips: ("--use-rec", "read record files"),
    settings.DigitPairs: ("--digit-pairs", "train on pairs of digits, whose class is whether they are the same"),
    settings.Synthetic: _BENCHMARK,
    settings.SyntheticClips: _BENCHMARK,
}


class DataOptions(typing.NamedTuple):
    """The kinds of data that a command reads.

    Attributes
    ----------
    default : type
        Settings of the data that are read without a flag.
    default_words : str
    kinds : dict of str to type
        The other kinds, by the flag that names them.
    """

    default: type
    default_words: str
    kinds: typing.Mapping[str, type]


IMAGES = DataOptions(
    settings.Digits,
    "the handwritten digits of scikit-learn",
    {
        "--data-dir": settings.ImageFolder,
        "--use-rec": settings.Records,
        "--digit-pairs": settings.DigitPairs,
        "--benchmark": settings.Synthetic,
    },
)
CLIPS = DataOptions(
    settings.MovingDigits,
    "digits that move in eight directions",
    {"--data-dir": settings.Videos, "--use-rec": settings.PackedClips, "--benchmark": settings.SyntheticClips},
)


def add_data_options(parser: Parser, *data: DataOptions) -> None:
    """Add the flags that name the data of a command, which reads one kind of samples or several."""
    group = parser.add_argument_group(f"data (default: {', or '.join(one.default_words for one in data)})")
    added: set[str] = set()
    for kind in dict.fromkeys(kind for one in data for kind in one.kinds.values()):
        flag, text = SWITCHES.get(kind, ("", ""))
        if flag and flag not in added:
            group.add_argument(flag, action="store_true", default=None, help=text)
            added.add(flag)
        for field in dataclasses.fields(kind):
            one = field.metadata["option"]
            if one.name not in added:
                add_option(group, one, field.default)
                added.add(one.name)


def data_of(values: typing.Mapping[str, typing.Any], data: DataOptions) -> settings.Data:
    """Make the settings of the data that parsed values name, of one of the kinds in `data`.

    Raises
    ------
    UsageError
        If they name two kinds of data.
    """
    records = values.get("use_rec") or values.get("rec_train") or values.get("rec_val")
    given = {
        "--data-dir": values.get("data_dir"),
        "--use-rec": records,
        "--digit-pairs": values.get("digit_pairs"),
        "--benchmark": values.get("benchmark"),
    }
    named = [flag for flag in data.kinds if given[flag]]
    if len(named) > 1:
        raise UsageError(f"{named[0]} and {named[1]} both name the data: give one of them")
    return build(data.kinds[named[0]] if named else data.default, values)
