"""How an epoch goes: accuracy, speed, and the share of time spent waiting for data."""

import time

import numpy as np

__all__ = ["Meter", "Progress"]


class Meter:
    """Loss, top-1 and top-5 accuracy of the images seen.

    Results are read one batch late: while Python waits for them, the devices already compute the next batch.

    Parameters
    ----------
    sums : sequence of 4 numbers
        Images, loss, top-1 and top-5 hits counted before, `sums` of another meter.

    Attributes
    ----------
    finite : bool
        Whether every loss so far was a finite number.
    """

    def __init__(self, sums=(0, 0.0, 0, 0)):
        self.count, self._loss, self._top1, self._top5 = sums
        self.finite = True
        self._pending = None

    def add(self, logits, losses, labels, count):
        """Take the results of a batch: lists with one NDArray per device, of which the first `count` rows count."""
        previous, self._pending = self._pending, (logits, losses, labels, count)
        self._read(previous)

    def sums(self):
        """Images, loss, top-1 and top-5 hits; waits for the last batch."""
        previous, self._pending = self._pending, None
        self._read(previous)
        return self.count, self._loss, self._top1, self._top5

    def result(self):
        """The final `metrics`; waits for the last batch."""
        self.sums()
        return self.metrics

    @property
    def metrics(self):
        """``{"loss", "top1", "top5"}``, means over the images read so far (accuracies from 0 to 1)."""
        images = max(self.count, 1)
        return {"loss": self._loss / images, "top1": self._top1 / images, "top5": self._top5 / images}

    def _read(self, batch):
        if batch is None:
            return
        logits, losses, labels = (np.concatenate([part.asnumpy() for part in parts]) for parts in batch[:3])
        count = batch[3]
        rows, classes = np.arange(count), labels[:count].astype(int)
        # How many classes score at least as high as the right one. Ties and NaN count against the network: a
        # constant or broken output must not look like a good one.
        own = logits[rows, classes][:, np.newaxis]
        rank = np.sum(~(logits[:count] < own), axis=1)
        self.count += count
        self._loss += float(losses[:count].sum())
        self._top1 += int(np.sum(rank <= 1))
        self._top5 += int(np.sum(rank <= 5))
        self.finite = self.finite and bool(np.isfinite(self._loss))


class Progress:
    """Where an epoch stands, how well and how fast it goes; can be saved and gone on with.

    Parameters
    ----------
    state : dict, optional
        What `state` returned for the part of the epoch that is done.

    Attributes
    ----------
    meter : Meter
    batches, images : int
        Of this process, so far.
    skipped_steps : int
        Steps without an update, since a gradient was not finite.
    learning_rate : float
        Of the last step.
    """

    def __init__(self, state=None):
        state = state or {}
        self.meter = Meter(state.get("sums", (0, 0.0, 0, 0)))
        self.batches, self.images = state.get("batches", 0), state.get("images", 0)
        self.skipped_steps = state.get("skipped_steps", 0)
        self.learning_rate = state.get("learning_rate")
        self._waited = state.get("waited", 0.0)
        self._start = time.monotonic() - state.get("seconds", 0.0)

    def state(self):
        """The numbers that say how far this epoch is, for JSON."""
        return {
            "sums": self.meter.sums(),
            "batches": self.batches,
            "images": self.images,
            "skipped_steps": self.skipped_steps,
            "learning_rate": self.learning_rate,
            "waited": self._waited,
            "seconds": self._seconds,
        }

    def watch(self, batches):
        """Yield `batches`, timing how long each was waited for."""
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

    def take_back(self, batches):
        """Count `batches` as not done."""
        self.batches -= len(batches)
        self.images -= sum(batch.count for batch in batches)

    @property
    def _seconds(self):
        return time.monotonic() - self._start

    @property
    def images_per_second(self):
        """Mean speed of this process since the start of the epoch."""
        return self.images / self._seconds

    @property
    def data_wait(self):
        """Share of the time, from 0 to 1, in which training waited for data."""
        return self._waited / self._seconds
