"""Metrics that name themselves: whatever writes, prints or draws results asks a meter for its columns."""

from __future__ import annotations

import typing

import mxnet as mx
import numpy as np

__all__ = ["Arrays", "ClassificationMeter", "Column", "Meter", "best_epoch", "in_words", "percent", "ranks"]

Arrays = typing.Sequence[mx.nd.NDArray]  # one for each device


class Column(typing.NamedTuple):
    """One result of a meter.

    Attributes
    ----------
    name : str
        Key of the results; a run prefixes it with the part of the data: ``val_top1``.
    label : str
        Name for people.
    fraction : bool
        The value is a fraction from 0 to 1, shown in percent.
    """

    name: str
    label: str
    fraction: bool


class Meter(typing.Protocol):
    """Results of the samples seen so far.

    Attributes
    ----------
    columns : tuple of Column
        The results, in the order in which they are shown.
    headline : str
        Name of the column that decides which epoch is the best; higher is better.
    count : float
        Samples counted.
    finite : bool
        Whether every loss so far was a finite number.
    """

    columns: typing.ClassVar[tuple[Column, ...]]
    headline: typing.ClassVar[str]
    count: float
    finite: bool

    def __init__(self, sums: typing.Sequence[float] = ...) -> None: ...

    def add(self, logits: Arrays, losses: Arrays, labels: Arrays, count: int) -> None:
        """Add the results of a batch: lists with one NDArray per device, of which the first `count` rows count."""
        ...

    def sums(self) -> tuple[float, ...]:
        """Numbers that can be added over processes and stored; waits for the last batch."""
        ...

    @property
    def metrics(self) -> dict[str, float]:
        """The results of the samples read so far, by the names of the columns."""
        ...


class ClassificationMeter:
    """Loss, top-1 and top-5 accuracy.

    Results are read one batch late: while Python waits for them, the devices already compute the next batch.

    Parameters
    ----------
    sums : sequence of 4 numbers
        Samples, loss, top-1 and top-5 hits counted before: `sums` of another meter.
    """

    columns: typing.ClassVar[tuple[Column, ...]] = (
        Column("loss", "loss", fraction=False),
        Column("top1", "top-1", fraction=True),
        Column("top5", "top-5", fraction=True),
    )
    headline: typing.ClassVar[str] = "top1"

    def __init__(self, sums: typing.Sequence[float] = (0, 0.0, 0, 0)) -> None:
        self.count, self._loss, self._top1, self._top5 = sums
        self.finite = True
        self._pending: tuple[typing.Any, ...] | None = None

    def add(self, logits: Arrays, losses: Arrays, labels: Arrays, count: int) -> None:
        """Add the results of a batch: lists with one NDArray per device, of which the first `count` rows count."""
        previous, self._pending = self._pending, (logits, losses, labels, count)
        self._read(previous)

    def sums(self) -> tuple[float, ...]:
        """Samples, loss, top-1 and top-5 hits; waits for the last batch."""
        previous, self._pending = self._pending, None
        self._read(previous)
        return self.count, self._loss, self._top1, self._top5

    @property
    def metrics(self) -> dict[str, float]:
        """Means over the samples read so far, by the names of the columns (accuracies from 0 to 1)."""
        samples = max(self.count, 1)
        sums = (self._loss, self._top1, self._top5)
        return {column.name: value / samples for column, value in zip(self.columns, sums)}

    def _read(self, batch: tuple[typing.Any, ...] | None) -> None:
        if batch is None:
            return
        logits, losses, labels = (np.concatenate([part.asnumpy() for part in parts]) for parts in batch[:3])
        count = batch[3]
        rank = ranks(logits[:count], labels[:count].astype(int))
        self.count += count
        self._loss += float(losses[:count].sum())
        self._top1 += int(np.sum(rank <= 1))
        self._top5 += int(np.sum(rank <= 5))
        self.finite = self.finite and bool(np.isfinite(self._loss))


def ranks(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The number of classes that score at least as high as the right one, itself included: (N,).

    Ties and NaN count against the network: a constant or broken output must not look like a good one.

    Parameters
    ----------
    scores : ndarray (N, classes)
    labels : ndarray (N,) of int
    """
    own = scores[np.arange(len(labels)), labels][:, np.newaxis]
    return np.sum(~(scores < own), axis=1)


def in_words(
    columns: typing.Iterable[Column], metrics: typing.Mapping[str, float], prefix: str = "", digits: int = 3
) -> str:
    """Results as text, e.g. "loss 0.123, top-1 45.6 %"; `prefix` is that of the keys in `metrics`."""
    shown = []
    for column in columns:
        value = metrics[prefix + column.name]
        shown.append(f"{column.label} {percent(value) if column.fraction else f'{value:.{digits}f}'}")
    return ", ".join(shown)


def percent(fraction: float) -> str:
    """0.123 as "12.3 %"."""
    return f"{100 * fraction:.1f} %"


_Row = typing.TypeVar("_Row", bound=typing.Mapping[str, typing.Any])


def best_epoch(history: typing.Iterable[_Row], column: str) -> _Row | None:
    """The row of the first epoch with the highest value in `column`, or None."""
    rows = [row for row in history if column in row]
    return max(rows, key=lambda row: row[column]) if rows else None
