"""The results of a run for people: a table and curves."""

from __future__ import annotations

import csv
import pathlib
import typing

from a2net_gluon.files import replacing
from a2net_gluon.insight.curves import Panel, draw_curves
from a2net_gluon.training.metrics import Meter

__all__ = ["CURVES", "TABLE", "write_results"]

TABLE, CURVES = "metrics.csv", "curves.png"


def write_results(
    folder: pathlib.Path, history: typing.Sequence[typing.Mapping[str, typing.Any]], meter: type[Meter]
) -> None:
    """Write the rows of a history to `folder`, as a table and as curves."""
    columns = list(dict.fromkeys(column for row in history for column in row))
    with replacing(folder / TABLE) as temporary, open(temporary, "w", newline="") as file:
        table = csv.DictWriter(file, columns, restval="")
        table.writeheader()
        table.writerows(history)
    draw_curves(history, folder / CURVES, _panels(meter))


def _panels(meter: type[Meter]) -> tuple[Panel, ...]:
    """The panels of the curves: losses, accuracies in percent, the learning rate."""
    parts = {"train": "training", "val": "validation"}

    def curves(fraction: bool) -> dict[str, str]:
        return {
            f"{part}_{column.name}": f"{name} {column.label}"
            for column in meter.columns
            for part, name in parts.items()
            if column.fraction == fraction
        }

    return (
        Panel("loss", curves(fraction=False), 1),
        Panel("accuracy, %", curves(fraction=True), 100),
        Panel("learning rate", {"learning_rate": "at the end of the epoch"}, 1),
    )
