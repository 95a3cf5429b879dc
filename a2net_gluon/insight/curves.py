"""Curves of training runs as a picture."""

from __future__ import annotations

import dataclasses
import itertools
from typing import TYPE_CHECKING, Any, Mapping, Sequence

from a2net_gluon.files import AnyPath, replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Panel", "curves_figure", "draw_curves"]

_DECADES = 100  # ratio of the largest to the smallest value from which on an axis is logarithmic
_LINES = ("-", "--", ":", "-.")  # of the curves of one run, where several runs are compared

History = Sequence[Mapping[str, Any]]


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
    decades : bool
        The axis is logarithmic if the values, all positive, span two decades or more.
    """

    title: str
    curves: Mapping[str, str]
    factor: float = 1
    decades: bool = False


def draw_curves(history: History, path: AnyPath, panels: Sequence[Panel]) -> None:
    """Draw columns of a run's history over epochs to PNG file `path`.

    Parameters
    ----------
    history : sequence of dict
        One dictionary for each epoch, as in a run's metrics.csv, with the columns of all panels and "epoch".
    path : str or Path
    panels : sequence of Panel
        From left to right.
    """
    figure = curves_figure({"": history}, panels)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=100)


def curves_figure(histories: Mapping[str, History], panels: Sequence[Panel]) -> Figure:
    """Draw the histories of one run or several, by the runs' names; a column that a run does not have is left out."""
    from matplotlib.figure import Figure  # without pyplot: no global state, no display

    width = 4 * len(panels)
    figure = Figure(figsize=(width, 3.6))
    # Margins in inches; a layout that measures the texts takes twice the time.
    figure.subplots_adjust(left=0.5 / width, right=1 - 0.15 / width, top=0.9, bottom=0.14)
    for axes, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels):
        values = _draw_panel(axes, histories, panel)
        axes.set(title=panel.title, xlabel="epoch")
        if panel.decades and values and min(values) > 0 and max(values) >= _DECADES * min(values):
            axes.set_yscale("log")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
        if values:
            axes.legend()
    return figure


def _draw_panel(axes: Axes, histories: Mapping[str, History], panel: Panel) -> list[float]:
    """Draw all curves of a panel; returns their values."""
    drawn: list[float] = []
    for number, (run, history) in enumerate(histories.items()):
        lines = itertools.cycle(_LINES)
        for column, label in panel.curves.items():
            rows = [row for row in history if column in row]
            if not rows:
                continue
            values = [panel.factor * row[column] for row in rows]
            style = {"color": f"C{number}", "linestyle": next(lines)} if len(histories) > 1 else {}
            name = f"{run}: {label}" if run and len(histories) > 1 else label
            axes.plot([row["epoch"] for row in rows], values, label=name.replace("$", r"\$"), marker=".", **style)
            drawn += values
    return drawn
