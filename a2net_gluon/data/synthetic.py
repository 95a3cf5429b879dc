"""One random batch over and over: what the network alone can do, without data in the way."""

import mxnet as mx
import numpy as np

from a2net_gluon.data.source import Batch, Problems

__all__ = ["SyntheticSource"]


class SyntheticSource:
    """The same random batch `batches` times an epoch, with the interface of `ImageSource`."""

    def __init__(self, classes, preprocessing, batch_size, batches, seed):
        rng = np.random.default_rng(seed)
        shape = (batch_size, 3, preprocessing.size, preprocessing.size)
        pixels = mx.nd.array(rng.integers(0, 256, shape), dtype=np.uint8)
        self._batch = Batch(pixels, mx.nd.array(rng.integers(0, classes, batch_size)), batch_size)
        self.classes = tuple(str(number) for number in range(classes))
        self.batch_size, self.train_batches = batch_size, batches
        self.train_count = batches * batch_size
        self.val_count = batch_size
        self.problems = Problems()

    def close(self):
        """Nothing to end."""

    def image_lists(self):
        """No images of any part."""
        return {}

    def train(self, epoch, first=0):
        """The batches of an epoch, the same in each."""
        return (self._batch for _ in range(first, self.train_batches))

    def validation(self):
        """One batch."""
        return iter([self._batch])
