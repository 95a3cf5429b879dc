"""Curves of a training run as a picture."""

from __future__ import annotations

import dataclasses
from typing import Any, Mapping, Sequence

from a2net_gluon.files import AnyPath, replacing

__all__ = ["Panel", "draw_curves"]


@dataclasses.dataclass(frozen=True)
class Panel:
    """One diagram of the picture, with epochs on its horizontal axis.

    Attributes
    ----------
    title : str
    curves : dict of str to str
        Labels by the columns of the history that are drawn.
    factor : float
        Factor of all values, e.g. 100 for percent.
    """

    title: str
    curves: Mapping[str, str]
    factor: float = 1


def draw_curves(history: Sequence[Mapping[str, Any]], path: AnyPath, panels: Sequence[Panel]) -> None:
    """Draw columns of a run's history over epochs to PNG file `path`.

    Parameters
    ----------
    history : sequence of dict
        One dictionary for each epoch, as in a run's metrics.csv, with the columns of all panels and "epoch".
    path : str or Path
    panels : sequence of Panel
        From left to right.
    """
    from matplotlib.figure import Figure  # without pyplot: no global state, no display

    epochs = [row["epoch"] for row in history]
    width = 4 * len(panels)
    figure = Figure(figsize=(width, 3.6))
    # Margins in inches; a layout that measures the texts takes twice the time.
    figure.subplots_adjust(left=0.5 / width, right=1 - 0.15 / width, top=0.9, bottom=0.14)
    for axes, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels):
        for column, label in panel.curves.items():
            axes.plot(epochs, [panel.factor * row[column] for row in history], label=label, marker=".")
        axes.set(title=panel.title, xlabel="epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
        axes.legend()
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=100)
