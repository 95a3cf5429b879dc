"""Recipes: YAML files with the flags of a training run."""

from __future__ import annotations

import contextlib
import io
import pathlib
import typing

from a2net_gluon.errors import UsageError
from a2net_gluon.options.arguments import given
from a2net_gluon.options.types import Parser

__all__ = ["read_recipe", "shipped_recipes"]

_FOLDER = pathlib.Path(__file__).parent.parent / "recipes"


def shipped_recipes() -> dict[str, pathlib.Path]:
    """List the recipes that come with the package: name to file."""
    return {path.stem: path for path in sorted(_FOLDER.glob("*.yaml"))}


def read_recipe(recipe: str, parser: Parser) -> dict[str, typing.Any]:
    """Read the values of the options that `recipe` sets, by the options' names.

    Parameters
    ----------
    recipe : str
        A YAML file, or the name of one that comes with the package. Keys are flags without the leading dashes. Values
        are those of the flag: a list for values separated by commas, true or false for a flag without a value.
    parser : Parser

    Raises
    ------
    UsageError
        If there is no such file, or it holds a value that the flag does not take.
    """
    import yaml

    shipped = shipped_recipes()
    path = pathlib.Path(recipe) if pathlib.Path(recipe).is_file() else shipped.get(recipe)
    if path is None:
        raise UsageError(f"--recipe {recipe}: no such file; recipes that come with the package: {', '.join(shipped)}")
    try:
        flags = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise UsageError(f"{path}: not YAML ({' '.join(str(error).split())[:150]})") from None
    if not isinstance(flags, dict) or not all(isinstance(name, str) for name in flags):
        raise UsageError(f"{path}: a recipe is a list of 'flag: value' lines, e.g. num-epochs: 100")
    arguments = [word for name, value in flags.items() for word in _words(name, value)]
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            parsed = parser.parse_args(arguments)
    except SystemExit:
        reason = complaint.getvalue().strip().split("error: ")[-1].split(" (see ")[0]
        raise UsageError(f"{path}: {reason}") from None
    return given(parsed)


def _words(name: str, value: typing.Any) -> list[str]:
    flag = f"--{name}"
    if isinstance(value, bool):
        return [flag] if value else []
    if isinstance(value, list):
        return [flag, ",".join(map(str, value))]
    return [flag, str(value)]
