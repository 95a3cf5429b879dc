"""Grids: YAML files with the variants of an ablation as flags of training."""

from __future__ import annotations

import pathlib
import typing

from a2net_gluon import settings
from a2net_gluon.errors import UsageError
from a2net_gluon.formats.bounded_yaml import Table, read_yaml
from a2net_gluon.options.arguments import add_settings, build, given
from a2net_gluon.options.recipes import values_of
from a2net_gluon.options.training import (
    FOR_CLIPS,
    FOR_IMAGES,
    TrainingOptions,
    add_training_options,
    replaced,
    training_of,
)
from a2net_gluon.options.types import Parser

__all__ = ["parse_ablation", "shipped_grids"]

_FOLDER = pathlib.Path(__file__).parent.parent / "grids"
_KINDS = {"images": FOR_IMAGES, "clips": FOR_CLIPS}
_WORDS = ("kind", "metric", "axis", "seeds", "baseline")
_TABLES = ("base", "cases", "variants")
_LEVELS = 3  # variants, their names, their flags

Values = typing.Dict[str, typing.Any]


def shipped_grids() -> dict[str, pathlib.Path]:
    """List the grids that come with the package, name to file."""
    return {path.stem: path for path in sorted(_FOLDER.glob("*.yaml"))}


def parse_ablation(arguments: typing.Sequence[str], prog: str | None = None) -> settings.Ablation:
    """Parse the options of ``a2net ablate``: a grid, and flags that replace those of its base and its cases.

    Raises
    ------
    UsageError
        If the grid cannot be read, or its values contradict each other.
    """
    named = arguments[0] if arguments and not arguments[0].startswith("-") else None
    path = _find(named) if named is not None else None
    grid = _read(path) if path is not None else {}
    options = _KINDS[grid.get("kind", "images")]
    parser = Parser(prog=prog, description="Train variants of a network with several seeds each, and compare them.")
    parser.add_argument("grid", help=f"YAML file, or {', '.join(shipped_grids())}; stands first")
    add_settings(parser, settings.Ablation, "ablation", ("seeds", "jobs", "baseline", "metric", "save_dir"))
    add_training_options(parser, options)
    values = given(parser.parse_args(arguments))
    if path is None:
        raise UsageError(f"the grid stands first: a2net ablate {values['grid']} …")
    return _Grid(path, grid, options).ablation(values)


def _find(grid: str) -> pathlib.Path:
    shipped, path = shipped_grids(), pathlib.Path(grid)
    if not path.is_file() and grid not in shipped:
        raise UsageError(f"{grid}: no such file; grids that come with the package: {', '.join(shipped)}")
    return path if path.is_file() else shipped[grid]


def _read(path: pathlib.Path) -> Table:
    """Read a grid, and check its outer form."""
    try:
        grid = read_yaml(path, _LEVELS)
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: not a grid in YAML ({' '.join(str(error).split())[:150]})") from None
    unknown = [key for key in grid if key not in (*_WORDS, *_TABLES)]
    if unknown:
        raise UsageError(f"{path}: {unknown[0]} is unknown; a grid has {', '.join((*_WORDS, *_TABLES))}")
    for key in _WORDS:
        if not isinstance(grid.get(key, ""), str):
            raise UsageError(f"{path}: {key} is {grid[key]!r}; it must be a word")
    for key in _TABLES:
        if not isinstance(grid.get(key, {}), dict):
            raise UsageError(f"{path}: {key} has no lines 'name: value' below it")
    if grid.get("kind", "images") not in _KINDS:
        raise UsageError(f"{path}: kind is {grid['kind']}; it must be one of {', '.join(_KINDS)}")
    return grid


class _Grid:
    """A grid file that is read; its tables are converted to settings."""

    def __init__(self, path: pathlib.Path, grid: Table, options: TrainingOptions) -> None:
        self._path, self._grid, self._options = path, grid, options
        self._parser = Parser()
        add_training_options(self._parser, options)
        self._of_ablation = Parser()
        add_settings(self._of_ablation, settings.Ablation, "", ("seeds",))

    def ablation(self, values: Values) -> settings.Ablation:
        """Make the settings of the ablation; `values` of the command line replace those of the base and the cases."""
        own = {key: self._grid[key] for key in ("metric", "axis", "baseline") if key in self._grid}
        seeds = self._seeds(self._grid, str(self._path))
        tables = self._tables("variants")
        fewer = {
            name: count for name in tables for count in self._seeds(tables[name], f"{self._path}: {name}").values()
        }
        base = self._values("base", self._grid.get("base", {}))
        cases = {name: self._values(name, table) for name, table in self._tables("cases").items()}
        variants = {name: self._values(name, _without_seeds(table)) for name, table in tables.items()}
        flags = {name: value for name, value in values.items() if name != "save_dir"}
        runs = {
            case: {
                name: self._training(f"{case}, {name}", base, of_case, flags, of_variant)
                for name, of_variant in variants.items()
            }
            for case, of_case in cases.items()
        }
        try:
            return build(settings.Ablation, {**seeds, **own, **values}, cases=runs, fewer=fewer)
        except UsageError as error:
            raise UsageError(f"{self._path}: {error}") from None

    def _tables(self, key: str) -> dict[str, Table]:
        """The tables below `key` by their names; one without lines is empty."""
        default: Table = {self._path.stem: {}} if key == "cases" else {}
        tables = {name: {} if table is None else table for name, table in self._grid.get(key, default).items()}
        for name, table in tables.items():
            if not isinstance(table, dict):
                raise UsageError(f"{self._path}: {key}: {name} is {table!r}; it must be lines 'flag: value' below it")
        return tables

    def _seeds(self, table: Table, where: str) -> Values:
        return values_of({key: value for key, value in table.items() if key == "seeds"}, self._of_ablation, where)

    def _values(self, name: str, flags: Table) -> Values:
        deeper = [flag for flag, value in flags.items() if isinstance(value, dict)]
        if deeper:
            raise UsageError(f"{self._path}: {name}: {deeper[0]} has lines below it; it must have one value")
        return values_of(flags, self._parser, f"{self._path}: {name}")

    def _training(self, name: str, *layers: Values) -> settings.Training:
        """The settings of one variant in one case: of several layers of values, the later ones take precedence."""
        values: Values = {}
        for layer in layers:
            values = replaced(values, layer)
        try:
            return training_of(values, self._options)
        except UsageError as error:
            raise UsageError(f"{self._path}: {name}: {error}") from None


def _without_seeds(table: Table) -> Table:
    return {key: value for key, value in table.items() if key != "seeds"}
