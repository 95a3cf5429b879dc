"""The results of a run: a table, which can be read again, and curves."""

from __future__ import annotations

import csv
import math
import pathlib
import typing

from a2net_gluon.errors import FailureError
from a2net_gluon.files import replacing
from a2net_gluon.insight.curves import Panel, draw_curves
from a2net_gluon.training.metrics import Column, Meter

__all__ = ["CURVES", "TABLE", "panels_of", "read_results", "write_results"]

TABLE, CURVES = "metrics.csv", "curves.png"
_NEEDED = {"epoch", "learning_rate", "images_per_second", "data_wait", "skipped_steps", "val_count"}


def write_results(
    folder: pathlib.Path, history: typing.Sequence[typing.Mapping[str, typing.Any]], meter: type[Meter]
) -> None:
    """Write the rows of a history to `folder`, as a table and as curves."""
    columns = list(dict.fromkeys(column for row in history for column in row))
    with replacing(folder / TABLE) as temporary, open(temporary, "w", newline="") as file:
        table = csv.DictWriter(file, columns, restval="")
        table.writeheader()
        table.writerows(history)
    draw_curves(history, folder / CURVES, panels_of(meter.columns))


def read_results(folder: pathlib.Path) -> list[dict[str, float]]:
    """Read the rows of the history in `folder`; none before the first epoch has ended.

    Raises
    ------
    FailureError
        If the table is damaged.
    """
    path = folder / TABLE
    if not path.exists():
        return []
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = [{column: float(text) for column, text in row.items() if text != ""} for row in csv.DictReader(file)]
        if not all(_NEEDED.issubset(row) and all(map(math.isfinite, row.values())) for row in rows):
            raise ValueError("a value is missing or not finite")
    except (OSError, ValueError, TypeError, AttributeError, csv.Error):  # cells too many or too few are no texts
        raise FailureError(f"{path} is damaged: restore it, or resume the run, which writes it again") from None
    return rows


def panels_of(columns: typing.Sequence[Column]) -> tuple[Panel, ...]:
    """The panels of the curves of some results: losses, accuracies in percent, the learning rate."""
    parts = {"train": "training", "val": "validation"}

    def curves(fraction: bool) -> dict[str, str]:
        return {
            f"{part}_{column.name}": f"{name} {column.label}"
            for column in columns
            for part, name in parts.items()
            if column.fraction == fraction
        }

    return (
        Panel("loss", curves(fraction=False), 1, decades=True),
        Panel("accuracy, %", curves(fraction=True), 100),
        Panel("learning rate", {"learning_rate": "at the end of the epoch"}, 1),
    )
