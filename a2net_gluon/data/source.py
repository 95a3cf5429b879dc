"""Batches from lists of images that Python reads, one by one, in worker processes."""

import ctypes
import os
import typing
import weakref

import cv2
import mxnet as mx
import numpy as np

from a2net_gluon.data.decoding import DecodeError
from a2net_gluon.data.readers import binding_readers, check_readers, end_readers, take_readers, wait_for_batch
from a2net_gluon.errors import FailureError, UsageError

__all__ = ["Batch", "ImageList", "ImageSource", "Problems", "Shard", "check_batch_size"]

_SPARES = 16  # images tried in place of one that cannot be read, before the data count as gone


class Batch(typing.NamedTuple):
    """Crops and labels; always full, so that the shape never changes.

    Attributes
    ----------
    pixels : NDArray (N, 3, h, w), uint8
    labels : NDArray (N,), float32
    count : int
        How many of the first rows are images of their own; the rest are repetitions that fill the batch.
    """

    pixels: mx.nd.NDArray
    labels: mx.nd.NDArray
    count: int


class Shard(typing.NamedTuple):
    """The part of the data that process `index` of `count` reads.

    In training, the batches of all processes with one number make up one large batch, that which a single process
    would have read. In validation each image belongs to exactly one process.
    """

    index: int = 0
    count: int = 1


class ImageList(typing.NamedTuple):
    """Labelled images that can be read by number.

    Attributes
    ----------
    names : sequence of str
        Names for messages, e.g. paths.
    labels : sequence of int
    read : callable
        ``read(number)`` returns an RGB array (h, w, 3) of uint8 or raises `DecodeError`.
    """

    names: typing.Sequence[str]
    labels: typing.Sequence[int]
    read: typing.Callable


class Problems:
    """What was wrong with the images read so far; every image is listed once.

    Attributes
    ----------
    skipped : dict of str to str
        Name of each image that could not be read, and why.
    enlarged : set of str
        Names of images smaller than the network's input.
    """

    def __init__(self):
        self.skipped = {}
        self.enlarged = set()

    def add(self, skipped, enlarged):
        """Add what one batch met; returns the names skipped for the first time, with their reasons."""
        new = {name: reason for name, reason in skipped.items() if name not in self.skipped}
        self.skipped.update(new)
        self.enlarged.update(enlarged)
        return new


def check_batch_size(batch_size, count, what, shard):
    """Raise UsageError unless `count` training images fill at least one batch of each process."""
    if batch_size < 1:
        raise UsageError(f"batch size is {batch_size}; it must be at least 1")
    if count < batch_size * shard.count:
        processes = f" for {shard.count} processes" if shard.count > 1 else ""
        raise UsageError(
            f"{what} holds {count} images, less than one batch of {batch_size}{processes}: lower --batch-size"
        )


class ImageSource:
    """Training and validation batches from two `ImageList`.

    The batches of an epoch depend on nothing but the seed and the number of the epoch, so that a resumed run
    sees what an uninterrupted one would have seen. In training, an image that cannot be read is replaced by the
    next in the list, so that every process has the same number of full batches.

    Parameters
    ----------
    name : str
        What the images are, for messages.
    classes : sequence of str
    train : ImageList or None
        None where only validation is wanted.
    val : ImageList
    preprocessing : Preprocessing
    augmentation : Augmentation or None
        None: training images are cropped like validation images.
    batch_size : int
    workers : int
        Processes that read images; 0 reads in this one.
    seed : int
    on_skip : callable, optional
        Called with the name and the reason of every image that cannot be read, once each.
    shard : Shard
        What this process reads.
    """

    def __init__(
        self,
        name,
        classes,
        train,
        val,
        preprocessing,
        augmentation,
        batch_size,
        workers,
        seed,
        on_skip=None,
        shard=Shard(),  # noqa: B008  (immutable)
    ):
        if train is not None:
            check_batch_size(batch_size, len(train.names), name, shard)
        self._shard = shard
        self._lists = {"training": train, "validation": val}
        self.classes = tuple(classes)
        self.train_count = len(train.names) if train is not None else 0
        self.val_count = len(val.names)
        self.batch_size = batch_size
        self.problems = Problems()
        self._on_skip = on_skip
        self._readers = []
        self._end_readers = weakref.finalize(self, end_readers, os.getpid(), self._readers)
        self._train = self._loader(train, preprocessing, augmentation, workers, seed) if train is not None else None
        self._val = self._loader(val, preprocessing, None, workers, None)

    def image_lists(self):
        """The images of each part, ``{"training": ImageList, "validation": ImageList}``."""
        return {part: images for part, images in self._lists.items() if images is not None}

    @property
    def train_batches(self):
        """Batches in one epoch; a last, partial one is left out (it is another one in each epoch)."""
        return self.train_count // (self.batch_size * self._shard.count)

    def train(self, epoch, first=0):
        """Batches of epoch `epoch` from batch `first` on, counted from 0."""
        sampler, *loader = self._train
        sampler.epoch, sampler.first = epoch, first
        return self._batches(*loader)

    def validation(self):
        """Every validation image once, in order."""
        return self._batches(*self._val[1:])

    def close(self):
        """End the processes that read images; the source cannot be used any more.

        Without waiting for them: one that was ended by a signal, as a batch system sends it to all processes, may
        have taken a lock with it, and the pool's own `terminate` would wait for that for ever.
        """
        self._end_readers()

    def _loader(self, images, preprocessing, augmentation, workers, seed):
        sampler = _EpochSampler(len(images.names), self.batch_size, seed, self._shard)
        with binding_readers():
            loader = mx.gluon.data.DataLoader(
                _Samples(images, preprocessing, augmentation, seed),
                batch_sampler=sampler,
                batchify_fn=_Batchify(self.batch_size, preprocessing.size, shared=workers > 0),
                num_workers=workers,
            )
        readers = take_readers(loader)
        self._readers += readers
        return sampler, loader, readers

    def _batches(self, loader, readers):
        loaded = loader._prefetch_iter()  # iter(loader) hides which batch is under way
        while True:
            try:
                if readers:
                    wait_for_batch(loaded, readers)
                pixels, labels, count, skipped, enlarged = next(loaded)
            except StopIteration:
                return
            except (OSError, EOFError):  # a batch's memory is handed over by the reader that made it
                for reader in readers:
                    reader.join(0.1)  # its connections end before it does
                check_readers(readers)
                raise
            new = self.problems.add(skipped, enlarged)
            if self._on_skip:
                for name, reason in new.items():
                    self._on_skip(name, reason)
            yield Batch(pixels, labels, count)


class _EpochSampler:
    """Batches of (epoch, number); shuffled and without a partial batch where there is a seed."""

    def __init__(self, count, batch_size, seed, shard):
        self.count, self.batch_size, self.seed, self.shard = count, batch_size, seed, shard
        self.epoch = self.first = 0

    def __iter__(self):
        order, stride = self._order()
        for start in range(self.first * stride, len(order), stride):
            yield [(self.epoch, int(number)) for number in order[start : start + self.batch_size]]

    def __len__(self):
        order, stride = self._order()
        return -(-len(order) // stride) - self.first

    def _order(self):
        """The images of this shard in order, and how far apart its batches start."""
        index, count = self.shard
        if self.seed is None:
            return range(index, self.count, count), self.batch_size
        together = self.batch_size * count
        order = np.random.default_rng((self.seed, self.epoch)).permutation(self.count)
        return order[index * self.batch_size : self.count - self.count % together], together


class _Sample(typing.NamedTuple):
    """One image, if there is one, and what was wrong with it and those tried before it."""

    crop: typing.Optional[np.ndarray]
    label: int
    name: str
    enlarged: bool
    skipped: typing.Mapping[str, str]


class _Samples:
    """The data set behind the loader: reads, crops and augments image `number` for epoch `epoch`."""

    def __init__(self, images, preprocessing, augmentation, seed):
        self._images, self._preprocessing = images, preprocessing
        self._augmentation, self._seed = augmentation, seed
        self._spares = 0 if seed is None else min(_SPARES, len(images.names) - 1)

    def __len__(self):
        return len(self._images.names)

    def __getitem__(self, key):
        epoch, first = key
        skipped = {}
        for number in range(first, first + 1 + self._spares):
            number %= len(self)
            name, label = self._images.names[number], self._images.labels[number]
            try:
                image = self._images.read(number)
            except DecodeError as error:
                skipped[name] = str(error)
                continue
            small = min(image.shape[:2]) < self._preprocessing.size
            return _Sample(self._crop(image, epoch, first), label, name, small, skipped)
        if self._spares:
            raise FailureError(
                f"{len(skipped)} images in a row cannot be read, the last is {name} ({skipped[name]}): "
                "are the data still there?"
            )
        return _Sample(None, label, name, False, skipped)

    def _crop(self, image, epoch, first):
        if self._augmentation is None:
            return self._preprocessing.centre_crop(image)
        rng = np.random.default_rng((self._seed, epoch, first))
        return self._augmentation.apply(image, self._preprocessing.size, rng)


class _Batchify:
    """Make a full batch of samples: repetitions fill what is missing."""

    def __init__(self, batch_size, size, shared):
        self._batch_size, self._size, self._shared = batch_size, size, shared

    def __call__(self, samples):
        good = [sample for sample in samples if sample.crop is not None]
        ctx = mx.Context("cpu_shared", 0) if self._shared else mx.cpu()
        pixels = mx.nd.empty((self._batch_size, 3, self._size, self._size), ctx=ctx, dtype=np.uint8)
        labels = np.zeros((self._batch_size,), np.float32)
        memory = _memory(pixels)
        if not good:
            memory.fill(0)
        for row in range(self._batch_size if good else 0):
            sample = good[row % len(good)]
            crop = sample.crop
            if crop.shape != (self._size, self._size, 3) or crop.dtype != np.uint8:  # OpenCV would write elsewhere
                raise ValueError(f"{sample.name} was read as {crop.dtype}, {crop.shape}; RGB in uint8 is needed")
            cv2.split(crop, list(memory[row]))
            labels[row] = sample.label
        skipped = {name: reason for sample in samples for name, reason in sample.skipped.items()}
        enlarged = [sample.name for sample in good if sample.enlarged]
        return pixels, mx.nd.array(labels, ctx=ctx, dtype=np.float32), len(good), skipped, enlarged


def _memory(array):
    """The memory of an NDArray on the CPU, of uint8, as a NumPy array; it must not outlive the NDArray.

    Assigning to the NDArray copies crops a second time, which took an eighth of a reader's time.
    """
    address = ctypes.c_void_p()
    mx.base.check_call(mx.base._LIB.MXNDArrayGetData(array.handle, ctypes.byref(address)))
    return np.ctypeslib.as_array(ctypes.cast(address, ctypes.POINTER(ctypes.c_uint8)), array.shape)
