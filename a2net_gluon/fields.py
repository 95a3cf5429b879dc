"""Fields of settings: their rules, flags and help, kept as metadata of frozen dataclasses."""

from __future__ import annotations

import dataclasses
import json
import numbers
import os
import typing

from a2net_gluon.errors import UsageError

__all__ = [
    "BATCH_SIZE",
    "CLASSES",
    "CONTEXTS",
    "COUNT",
    "CROP_RATIO",
    "DEVICES",
    "DISTANCE",
    "EPOCHS",
    "FRACTION",
    "FRAMES",
    "INPUT_SIZE",
    "PIXEL",
    "POSITIVE",
    "PROCESSES",
    "QUALITY",
    "RATE",
    "RELATIVE",
    "RESTARTS",
    "SEED",
    "SEEDS",
    "VIEWS",
    "WHOLE",
    "Option",
    "Path",
    "Rule",
    "Settings",
    "default_in_words",
    "documented",
    "flat",
    "option",
    "options_of",
    "with_defaults",
]


Path = typing.Union[str, "os.PathLike[str]"]


@dataclasses.dataclass(frozen=True)
class Rule:
    """A kind of number and its bounds.

    Attributes
    ----------
    kind : type
        int or float.
    least, most : number
        Bounds, both included.
    zero : bool
        0 is accepted too.
    """

    kind: type
    least: float
    most: float
    zero: bool = False

    @property
    def words(self) -> str:
        """The rule for messages, e.g. "a whole number from 1 to 1024"."""
        kind = "a whole number" if self.kind is int else "a number"
        return f"{kind} from {_digits(self.least)} to {_digits(self.most)}{', or 0' if self.zero else ''}"

    def accepts(self, value: typing.Any) -> bool:
        """Whether a number is within bounds."""
        return bool(self.least <= value <= self.most or (self.zero and value == 0))

    def parse(self, text: str) -> typing.Any:
        """Convert text to a number that keeps the rule, or raise ValueError with one line."""
        shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
        try:
            value = self.kind(text)
        except ValueError:
            raise ValueError(f"{shown!r} is not {self.words}") from None
        if not self.accepts(value):
            raise ValueError(f"{shown} is not {self.words}")
        return value

    def holds(self, value: typing.Any) -> bool:
        """Whether `value`, of any type, keeps the rule."""
        kind = numbers.Integral if self.kind is int else numbers.Real
        return isinstance(value, kind) and not isinstance(value, bool) and self.accepts(value)


def _digits(number: float) -> str:
    return str(number) if isinstance(number, int) else f"{number:g}"


_SHOWN = 40  # characters of a wrong value in a message

# Whole numbers. What a run merely counts to is bounded by what MXNet counts with.
COUNT = Rule(int, 1, 2**31 - 1)
WHOLE = Rule(int, 0, 2**31 - 1)
SEED = Rule(int, 0, 2**31 - 1)
EPOCHS = Rule(int, 1, 100_000)
CLASSES = Rule(int, 1, 1_000_000)
BATCH_SIZE = Rule(int, 1, 65_536)
INPUT_SIZE = Rule(int, 4, 4096)
QUALITY = Rule(int, 1, 100)  # of a JPEG
DEVICES = Rule(int, 0, 64)
CONTEXTS = Rule(int, 1, 64)
PROCESSES = Rule(int, 1, 256)
RESTARTS = Rule(int, 0, 1000)
FRAMES = Rule(int, 1, 1024)
VIEWS = Rule(int, 1, 100)
SEEDS = Rule(int, 1, 100)
DISTANCE = Rule(int, 8, 40)  # of two digits: neither covers the other one or leaves the canvas
# Real numbers, all of which are finite, and 0 or normal numbers, in float32 too.
RATE = Rule(float, 1e-12, 1e30, zero=True)
POSITIVE = Rule(float, 1e-9, 1e6)
FRACTION = Rule(float, 1e-9, 1.0)
RELATIVE = Rule(float, 1e-9, 1.0, zero=True)
PIXEL = Rule(float, -1e6, 1e6)
CROP_RATIO = Rule(float, 0.25, 1.0)  # an image is enlarged to the input size divided by it


@dataclasses.dataclass(frozen=True)
class Option:
    """The metadata of one field of settings.

    Attributes
    ----------
    name : str
        Key in ``run.json``, and the attribute that argparse sets.
    flags : tuple of str
        Flags of the command line; none for a positional argument.
    help : str
        One sentence, without a full stop.
    rule : Rule, optional
        Of a number, or of each number of a sequence.
    choices : tuple of str, optional
    metavar : str, optional
    sequence : bool
        The value is a tuple: numbers or words separated by commas on the command line.
    many : bool
        The value is a tuple: words separated by spaces on the command line.
    incidental : bool
        The value does not change what is trained: it may differ when a run is resumed.
    exclusive : str, optional
        Options with the same text here exclude each other: at most one of them differs from its default.
    required : bool
        None is refused.
    parse : callable, optional
        Converts the text of the command line where no rule does.
    default_words : str, optional
        The default in words where None stands for it.
    """

    name: str
    flags: tuple
    help: str
    rule: Rule | None = None
    choices: tuple | None = None
    metavar: str | None = None
    sequence: bool = False
    many: bool = False
    incidental: bool = False
    exclusive: str | None = None
    required: bool = False
    parse: typing.Callable[[str], typing.Any] | None = None
    default_words: str | None = None


def option(default: typing.Any, *flags: str, name: str = "", help: str = "", **more: typing.Any) -> typing.Any:
    """Make a dataclass field with an `Option`; its name is that of the last flag: ``--num-epochs`` is num_epochs."""
    name = name or flags[-1].lstrip("-").replace("-", "_")
    return dataclasses.field(default=default, metadata={"option": Option(name, flags, help, **more)})


def options_of(settings: typing.Any) -> dict[str, Option]:
    """The options of a settings class or object, by the name of their field."""
    return {
        field.name: field.metadata["option"] for field in dataclasses.fields(settings) if "option" in field.metadata
    }


@dataclasses.dataclass(frozen=True)
class Settings:
    """Base class of all settings: every field is checked against its rule when an object is made.

    Raises
    ------
    UsageError
        A ValueError that names the field, its value and the rule, or two fields that exclude each other.
    """

    def __post_init__(self) -> None:
        for name, one in options_of(self).items():
            value = _plain(getattr(self, name))
            _check(f"{type(self).__name__}.{name}", one, value, getattr(type(self), name, None))
            # The objects are frozen: this is the one place that converts values.
            object.__setattr__(self, name, _number(one, value))
        for first, *others in _chosen(self).values():
            if others:
                raise UsageError(f"{first} and {others[0]} exclude each other: give one of them")


def _plain(value: typing.Any) -> typing.Any:
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    return tuple(_plain(part) for part in value) if isinstance(value, (list, tuple)) else value


def _number(one: Option, value: typing.Any) -> typing.Any:
    """Convert NumPy's numbers and the like to the kind that the rule names."""
    if value is None or one.rule is None:
        return value
    return tuple(map(one.rule.kind, value)) if one.sequence else one.rule.kind(value)


def _check(what: str, one: Option, value: typing.Any, default: typing.Any) -> None:
    flag = f" ({one.flags[-1]})" if one.flags else ""
    if value is None:
        if one.required:
            raise UsageError(f"{what}{flag} is missing: {one.help}")
        return
    nothing = value == () and default is None  # with another default, a list may be empty: no decays
    if nothing or value == "" or (isinstance(value, tuple) and "" in value):
        raise UsageError(f"{what}{flag} is empty: give a value, or omit it")
    if one.choices and value not in one.choices:
        raise UsageError(f"{what}{flag} is {value!r}; it must be one of {', '.join(one.choices)}")
    if (one.sequence or one.many) and not isinstance(value, tuple):
        raise UsageError(f"{what}{flag} is {value!r}; it must be a list or a tuple")
    if one.rule:
        for number in value if one.sequence else [value]:
            if not one.rule.holds(number):
                raise UsageError(f"{what}{flag} is {number!r}; it must be {one.rule.words}")


def documented(cls: typing.Any) -> typing.Any:
    """Class decorator: add an "Attributes" section to the docstring, made of the fields' options."""
    lines = [cls.__doc__.rstrip(), "", "    Attributes", "    ----------"]
    for field in dataclasses.fields(cls):
        lines.append(f"    {field.name} : {field.type}")
        one = field.metadata.get("option")
        if one:
            flag = f" ({one.flags[-1]})" if one.flags else ""
            lines.append(f"        {one.help[:1].upper()}{one.help[1:]}{default_in_words(field.default, one)}.{flag}")
    cls.__doc__ = "\n".join(lines) + "\n"
    return cls


def default_in_words(default: typing.Any, one: Option) -> str:
    """The end of a help text that names the default, or nothing."""
    if one.default_words:
        return f"; default: {one.default_words}"
    if default is None or isinstance(default, bool) or default == ():
        return ""
    values = default if isinstance(default, tuple) else (default,)
    return f"; default: {','.join(f'{value:g}' if isinstance(value, float) else str(value) for value in values)}"


SettingsType = typing.TypeVar("SettingsType", bound=Settings)


def with_defaults(settings: SettingsType, defaults: typing.Mapping[str, typing.Any]) -> SettingsType:
    """Replace the options that are None, and not excluded by another one, by those of `defaults`, by their names."""
    changes: dict[str, typing.Any] = {}
    options, chosen = options_of(settings), _chosen(settings)
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if isinstance(value, Settings):
            changes[field.name] = with_defaults(value, defaults)
        elif value is None and field.name in options and options[field.name].exclusive not in chosen:
            changes[field.name] = defaults.get(options[field.name].name)
    return dataclasses.replace(settings, **changes)


def _chosen(settings: Settings) -> dict[str, list[str]]:
    """The flags of exclusive options that differ from their default, by what they exclude each other for."""
    chosen: dict[str, list[str]] = {}
    options = options_of(settings)
    for field in dataclasses.fields(settings):
        one = options.get(field.name)
        if one and one.exclusive and getattr(settings, field.name) != field.default:
            chosen.setdefault(one.exclusive, []).append(one.flags[-1])
    return chosen


def flat(settings: Settings, incidental: bool = True) -> dict[str, typing.Any]:
    """All options as one dict for JSON, by their names; without `incidental` only those that change what is trained."""
    found: dict[str, typing.Any] = {}
    options = options_of(settings)
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if isinstance(value, Settings):
            found.update(flat(value, incidental))
        elif field.name in options and (incidental or not options[field.name].incidental):
            found[options[field.name].name] = value
    return json.loads(json.dumps(found))
