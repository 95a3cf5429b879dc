"""The costs of the paper's tables: as printed, as counted here, and how the two compare."""

import dataclasses
import functools
import typing

from a2net_gluon.insight.counting import cost
from a2net_gluon.networks import get_model, input_shape

__all__ = ["KNOWN_MISSES", "NONE", "NOT_MEASURED", "Column", "Figure", "Network", "Row", "Table", "Verdict"]

NONE = "–"  # an empty cell
NOT_MEASURED = "not measured"

# What the paper prints otherwise than its own structures give; what these give, and what is known of it. They are
# shown as misses and not tuned away.
KNOWN_MISSES = {
    "31.3 G": ("30.5 G", "the structure that Table 1 prints for ResNet-50 gives 30.5 G"),
    "41.6 G": ("40.8 G", "the A²-Net of Table 6 is that of Table 5, where the paper prints 40.8 G"),
    "21.3 G": ("21.2 G", "the printed 8.3 G and 12.97 G add up to 21.27 G, the unrounded ones to 21.247 G"),
    "463 M": ("462 M", "4·c·m·L + 2·m·n·L of one block at m = n = c/4 is 462.42 M in every stage"),
}
_UNITS = {"M": 10**6, "G": 10**9}


class Verdict:
    """How a counted figure compares with the printed one."""

    MATCH = "match"
    KNOWN_MISS = "known miss"
    UNEXPECTED = "unexpected"


@dataclasses.dataclass(frozen=True)
class Network:
    """Arguments of `get_model`; `placement` as pairs of stage and units, empty for the network's own."""

    name: str
    context: typing.Optional[str] = None
    placement: typing.Tuple[typing.Tuple[str, typing.Tuple[int, ...]], ...] = ()
    classes: typing.Optional[int] = None

    @property
    def cost(self):
        """The `Cost` for one input of the network's own shape."""
        return _cost(self)


@functools.lru_cache(maxsize=None)  # a network stands in several rows and columns
def _cost(network):
    placement = dict(network.placement) or None
    net = get_model(network.name, classes=network.classes, context=network.context, placement=placement)
    return cost(net, input_shape(network.name))


@dataclasses.dataclass(frozen=True)
class Column:
    """A column of costs: how it is counted for a `Network`, and whether all digits are shown."""

    heading: str
    count: typing.Callable
    exact: bool = False


@dataclasses.dataclass(frozen=True)
class Figure:
    """A cost as the paper prints it and as it is counted here.

    Attributes
    ----------
    printed : str
        With its unit, M or G; "–" where the paper prints none.
    value : int or None
        Counted here; None if there is no such network here.
    """

    printed: str
    value: typing.Optional[int]

    @property
    def verdict(self):
        """One of `Verdict`, or None where there is nothing to compare."""
        if self.printed == NONE or self.value is None:
            return None
        expected, _ = KNOWN_MISSES.get(self.printed, (self.printed, None))
        if self.rounded() != expected:
            return Verdict.UNEXPECTED
        return Verdict.KNOWN_MISS if self.printed in KNOWN_MISSES else Verdict.MATCH

    def rounded(self):
        """Our value with the digits and the unit of the printed one; zeros that end a whole number are no digits."""
        number, unit = self.printed.split()
        decimals = len(number.partition(".")[2])
        rounding = decimals if "." in number else len(number.rstrip("0")) - len(number)
        return f"{round(self.value / _UNITS[unit], rounding):.{decimals}f} {unit}"

    def text(self, exact):
        """Our value in all digits, or with more than the paper prints in its unit."""
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
        None for networks of others that are not here.
    costs : tuple of str
        As printed, one for each cost column of the table.
    accuracies : tuple of str
        As printed, one for each accuracy column.
    measured : str
        The same accuracies of our network, once it has been trained on these data.
    """

    labels: typing.Tuple[str, ...]
    network: typing.Optional[Network]
    costs: typing.Tuple[str, ...]
    accuracies: typing.Tuple[str, ...] = ()
    measured: str = NOT_MEASURED


@dataclasses.dataclass(frozen=True)
class Table:
    """A table of the paper: headings of the labels, cost columns, headings of the accuracies, rows, notes."""

    number: int
    title: str
    labels: typing.Tuple[str, ...]
    costs: typing.Tuple[Column, ...]
    accuracies: typing.Tuple[str, ...]
    rows: typing.Tuple[Row, ...]
    notes: typing.Tuple[str, ...] = ()

    def figures(self, row):
        """A `Figure` for each cost column of one of the rows."""
        return [
            Figure(printed, None if row.network is None else column.count(row.network))
            for column, printed in zip(self.costs, row.costs)
        ]
