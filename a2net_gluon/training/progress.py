"""The progress of an epoch: results, speed, and the part of the time spent waiting for data."""

from __future__ import annotations

import time
import typing

from a2net_gluon.data.samples import Batch
from a2net_gluon.training.metrics import ClassificationMeter, Meter

__all__ = ["Progress"]


class Progress:
    """The place in an epoch, its results and its speed; it can be saved and resumed.

    Parameters
    ----------
    state : dict, optional
        `state` of the part of the epoch that is done.
    meter : type
        Class of the `Meter`.

    Attributes
    ----------
    meter : Meter
    batches, images : int
        Of this process, so far.
    skipped_steps : int
        Steps without an update, because a gradient was not finite.
    learning_rate : float
        Of the last step.
    """

    def __init__(
        self, state: typing.Mapping[str, typing.Any] | None = None, meter: type[Meter] = ClassificationMeter
    ) -> None:
        state = state or {}
        self.meter: Meter = meter(state["sums"]) if "sums" in state else meter()
        self.batches, self.images = state.get("batches", 0), state.get("images", 0)
        self.skipped_steps = state.get("skipped_steps", 0)
        self.learning_rate = state.get("learning_rate")
        self._waited = state.get("waited", 0.0)
        self._start = time.monotonic() - state.get("seconds", 0.0)

    def state(self) -> dict[str, typing.Any]:
        """The place in this epoch and its results, for JSON."""
        return {
            "sums": self.meter.sums(),
            "batches": self.batches,
            "images": self.images,
            "skipped_steps": self.skipped_steps,
            "learning_rate": self.learning_rate,
            "waited": self._waited,
            "seconds": self._seconds,
        }

    def watch(self, batches: typing.Iterable[Batch]) -> typing.Iterator[Batch]:
        """Yield `batches`, and time the wait for each."""
        batches = iter(batches)
        while True:
            asked = time.monotonic()
            batch = next(batches, None)
            self._waited += time.monotonic() - asked
            if batch is None:
                return
            self.batches += 1
            self.images += batch.count
            yield batch

    def take_back(self, batches: typing.Sequence[Batch]) -> None:
        """Count `batches` as not done."""
        self.batches -= len(batches)
        self.images -= sum(batch.count for batch in batches)

    @property
    def _seconds(self) -> float:
        return time.monotonic() - self._start

    @property
    def images_per_second(self) -> float:
        """Mean speed of this process since the start of the epoch."""
        return self.images / self._seconds

    @property
    def data_wait(self) -> float:
        """Fraction of the time, from 0 to 1, in which training waited for data."""
        return self._waited / self._seconds
