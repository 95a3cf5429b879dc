"""A source that repeats one random batch, to measure the network without reading data."""

from __future__ import annotations

import typing

import mxnet as mx
import numpy as np

from a2net_gluon.data.preprocessing import Preprocessing
from a2net_gluon.data.samples import Batch, Problems, Samples

__all__ = ["SyntheticSource"]


class SyntheticSource:
    """One random batch, repeated `batches` times in each epoch."""

    def __init__(self, classes: int, preprocessing: Preprocessing, batch_size: int, batches: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        shape = (batch_size, *preprocessing.input_shape)
        pixels = mx.nd.array(rng.integers(0, 256, shape), dtype=np.uint8)
        self._batch = Batch(pixels, mx.nd.array(rng.integers(0, classes, batch_size)), batch_size)
        self.classes = tuple(str(number) for number in range(classes))
        self.batch_size, self._batches = batch_size, batches
        self.train_count = batches * batch_size
        self.val_count = batch_size
        self.problems = Problems()
        self.split: str | None = None

    @property
    def train_batches(self) -> int:
        """Batches of an epoch."""
        return self._batches

    def close(self) -> None:
        """Do nothing: there are no worker processes."""

    def parts(self) -> dict[str, Samples]:
        """No samples of any part."""
        return {}

    def train(self, epoch: int, first: int = 0) -> typing.Iterator[Batch]:
        """The batches of an epoch, the same in each."""
        return (self._batch for _ in range(first, self._batches))

    def validation(self) -> typing.Iterator[Batch]:
        """One batch."""
        return iter([self._batch])
