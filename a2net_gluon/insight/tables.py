"""Costs of the paper's tables: printed figures, figures counted here, and the comparison of both."""

from __future__ import annotations

import dataclasses
import functools
from typing import Callable

from a2net_gluon.insight.counting import Cost, cost
from a2net_gluon.networks import get_model, input_shape

__all__ = ["KNOWN_MISSES", "NONE", "NOT_MEASURED", "Column", "Figure", "Network", "Row", "Table", "Verdict"]

NONE = "–"  # an empty cell
NOT_MEASURED = "not measured"

# Printed figures that differ from the paper's own structures, each with the figure of these structures and the known
# facts. The tables show them as misses; the networks are not tuned to hide them.
KNOWN_MISSES = {
    "31.3 G": ("30.5 G", "the structure that Table 1 prints for ResNet-50 gives 30.5 G"),
    "41.6 G": ("40.8 G", "the A²-Net of Table 6 is that of Table 5, where the paper prints 40.8 G"),
    "21.3 G": ("21.2 G", "the printed 8.3 G and 12.97 G add up to 21.27 G, the unrounded ones to 21.247 G"),
    "463 M": ("462 M", "4·c·m·L + 2·m·n·L of one block at m = n = c/4 is 462.42 M in every stage"),
}
_UNITS = {"M": 10**6, "G": 10**9}


class Verdict:
    """Results of comparing a counted figure with the printed one."""

    MATCH = "match"
    KNOWN_MISS = "known miss"
    UNEXPECTED = "unexpected"


@dataclasses.dataclass(frozen=True)
class Network:
    """Arguments of `get_model`, hashable.

    Attributes
    ----------
    name : str
    context : str or None
    placement : tuple of (str, tuple of int)
        Pairs of stage and units; empty for the network's own placement.
    classes : int or None
    """

    name: str
    context: str | None = None
    placement: tuple[tuple[str, tuple[int, ...]], ...] = ()
    classes: int | None = None

    @property
    def cost(self) -> Cost:
        """The `Cost` for one input of the network's own shape."""
        return _cost(self)


@functools.lru_cache(maxsize=None)  # a network appears in several rows and columns
def _cost(network: Network) -> Cost:
    placement = dict(network.placement) or None
    net = get_model(network.name, classes=network.classes, context=network.context, placement=placement)
    return cost(net, input_shape(network.name))


@dataclasses.dataclass(frozen=True)
class Column:
    """A column of costs.

    Attributes
    ----------
    heading : str
    count : callable
        ``count(network)`` returns the figure of a `Network`, or None.
    exact : bool
        Whether all digits are shown.
    """

    heading: str
    count: Callable[[Network], int | None]
    exact: bool = False


@dataclasses.dataclass(frozen=True)
class Figure:
    """A cost printed by the paper together with the count of this library.

    Attributes
    ----------
    printed : str
        With its unit, M or G; "–" if the paper prints none.
    value : int or None
        Counted here; None if this library has no such network.
    """

    printed: str
    value: int | None

    @property
    def verdict(self) -> str | None:
        """One of `Verdict`, or None without two figures to compare."""
        if self.printed == NONE or self.value is None:
            return None
        expected, _ = KNOWN_MISSES.get(self.printed, (self.printed, None))
        if self.rounded() != expected:
            return Verdict.UNEXPECTED
        return Verdict.KNOWN_MISS if self.printed in KNOWN_MISSES else Verdict.MATCH

    def rounded(self) -> str:
        """Round the value to the digits and the unit of the printed figure.

        Zeros at the end of a whole number do not count as digits.
        """
        if self.value is None:
            return NONE
        number, unit = self.printed.split()
        decimals = len(number.partition(".")[2])
        rounding = decimals if "." in number else len(number.rstrip("0")) - len(number)
        return f"{round(self.value / _UNITS[unit], rounding):.{decimals}f} {unit}"

    def text(self, exact: bool) -> str:
        """Return the value in all digits, or in the paper's unit with more decimals than the paper prints."""
        if self.value is None:
            return NONE
        if exact:
            return f"{self.value:,}"
        unit = "G" if self.printed == NONE else self.printed.split()[1]
        return f"{self.value / _UNITS[unit]:.{2 if unit == 'M' else 3}f} {unit}"


@dataclasses.dataclass(frozen=True)
class Row:
    """A row of a table.

    Attributes
    ----------
    labels : tuple of str
    network : Network or None
        None for networks that this library does not have.
    costs : tuple of str
        Printed costs, one for each cost column of the table.
    accuracies : tuple of str
        Printed accuracies, one for each accuracy column.
    measured : str
        Accuracies of this library's network on the same data, if measured.
    """

    labels: tuple[str, ...]
    network: Network | None
    costs: tuple[str, ...]
    accuracies: tuple[str, ...] = ()
    measured: str = NOT_MEASURED


@dataclasses.dataclass(frozen=True)
class Table:
    """A table of the paper.

    Attributes
    ----------
    number : int
    title : str
    labels : tuple of str
        Headings of the label columns.
    costs : tuple of Column
    accuracies : tuple of str
        Headings of the accuracy columns.
    rows : tuple of Row
    notes : tuple of str
    """

    number: int
    title: str
    labels: tuple[str, ...]
    costs: tuple[Column, ...]
    accuracies: tuple[str, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()

    def figures(self, row: Row) -> list[Figure]:
        """Return a `Figure` for each cost column of `row`."""
        return [
            Figure(printed, None if row.network is None else column.count(row.network))
            for column, printed in zip(self.costs, row.costs)
        ]
