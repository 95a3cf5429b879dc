"""Recipes: YAML files with the flags of a training run."""

from __future__ import annotations

import contextlib
import io
import pathlib
import typing

from a2net_gluon.errors import UsageError
from a2net_gluon.formats.bounded_yaml import Value, read_yaml
from a2net_gluon.options.arguments import given
from a2net_gluon.options.types import Parser

__all__ = ["read_recipe", "shipped_recipes", "values_of"]

_FOLDER = pathlib.Path(__file__).parent.parent / "recipes"


def shipped_recipes(folder: str = "") -> dict[str, pathlib.Path]:
    """List the recipes that come with the package, name to file: those for images, or those in "clips"."""
    return {path.stem: path for path in sorted((_FOLDER / folder).glob("*.yaml"))}


def read_recipe(recipe: str, parser: Parser, folder: str = "") -> dict[str, typing.Any]:
    """Read the values of the options that `recipe` sets, by the options' names.

    Parameters
    ----------
    recipe : str
        A YAML file, or the name of one that comes with the package. Keys are flags without the leading dashes. Values
        are those of the flag: a list for values separated by commas, true or false for a flag without a value.
    parser : Parser
    folder : str
        As for `shipped_recipes`.

    Raises
    ------
    UsageError
        If there is no such file, or it holds a value that the flag does not take.
    """
    shipped = shipped_recipes(folder)
    path = pathlib.Path(recipe) if pathlib.Path(recipe).is_file() else shipped.get(recipe)
    if path is None:
        raise UsageError(f"--recipe {recipe}: no such file; recipes that come with the package: {', '.join(shipped)}")
    try:
        flags = read_yaml(path)
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:150]
        raise UsageError(f"{path}: not YAML with 'flag: value' lines, e.g. num-epochs: 100 ({reason})") from None
    if "recipe" in flags:
        raise UsageError(f"{path}: a recipe cannot name another recipe: copy its lines")
    return values_of(flags, parser, str(path))


def values_of(flags: typing.Mapping[str, Value], parser: Parser, where: str) -> dict[str, typing.Any]:
    """Convert flags, without the leading dashes, and their values in a file to values by the options' names.

    Raises
    ------
    UsageError
        If a flag has no value, or one that it does not take; the message begins with `where` it stands.
    """
    empty = [name for name, value in flags.items() if value is None]
    if empty:
        raise UsageError(f"{where}: {empty[0]} has no value: give one, or remove the line")
    arguments = [word for name, value in flags.items() for word in _words(name, value)]
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            parsed = parser.parse_args(arguments)
    except SystemExit:
        reason = complaint.getvalue().strip().split("error: ")[-1].split(" (see ")[0]
        raise UsageError(f"{where}: {reason}") from None
    return given(parsed)


def _words(name: str, value: Value) -> list[str]:
    """The argument for a flag and its value: a single word, so that a value such as -1 is not taken for a flag."""
    if isinstance(value, bool):
        return [f"--{name}"] if value else []
    return [f"--{name}={','.join(map(str, value)) if isinstance(value, list) else value}"]
