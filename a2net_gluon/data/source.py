"""Batches of samples that worker processes read one by one."""

from __future__ import annotations

import os
import typing
import weakref

import cv2
import mxnet as mx
import numpy as np

from a2net_gluon import mxnet_fixes
from a2net_gluon.data.augmentation import Augmentation
from a2net_gluon.data.decoding import DecodeError
from a2net_gluon.data.preprocessing import Preprocessing
from a2net_gluon.data.readers import (
    check_readers,
    end_readers,
    reader_failure,
    starting_readers,
    take_readers,
    wait_for_batch,
)
from a2net_gluon.data.samples import Batch, Dataset, OnSkip, Problems, Samples, Shard, check_batch_size
from a2net_gluon.errors import FailureError

__all__ = ["SPARES", "DatasetSource", "EpochSampler", "SampleSource", "read_or_next"]

_Result = typing.TypeVar("_Result")

SPARES = 16  # samples tried in place of one that cannot be read, before the run stops


class DatasetSource:
    """Base class of the sources of a `Dataset`.

    Parameters
    ----------
    dataset, batch_size, on_skip, shard
        As for `SampleSource`.
    """

    def __init__(self, dataset: Dataset, batch_size: int, on_skip: OnSkip | None, shard: Shard) -> None:
        if dataset.training is not None:
            check_batch_size(batch_size, len(dataset.training.names), dataset.name, shard)
        self._dataset, self._shard, self._on_skip = dataset, shard, on_skip
        self.classes, self.split = dataset.classes, dataset.split
        self.train_count = len(dataset.training.names) if dataset.training is not None else 0
        self.val_count = len(dataset.validation.names)
        self.batch_size, self.problems = batch_size, Problems()
        self._note(dataset.unreadable)

    def parts(self) -> dict[str, Samples]:
        """The samples of each part: "training", where there are any, and "validation"."""
        return self._dataset.parts()

    @property
    def train_batches(self) -> int:
        """Batches of an epoch; a last, partial one is dropped (its samples differ between epochs)."""
        return self.train_count // (self.batch_size * self._shard.count)

    def _note(self, skipped: typing.Mapping[str, str], enlarged: typing.Iterable[str] = ()) -> None:
        """Add problems, and tell of samples that are skipped for the first time."""
        for name, reason in self.problems.add(skipped, enlarged).items():
            if self._on_skip:
                self._on_skip(name, reason)


class SampleSource(DatasetSource):
    """Training and validation batches of a `Dataset`.

    The batches of an epoch depend only on the seed and the number of the epoch, so a resumed run reads the batches of
    an uninterrupted one. In training, a sample that cannot be read is logged, counted and replaced by the next one, so
    that every process has the same number of full batches; if 16 of them cannot be read either, the run stops.

    Parameters
    ----------
    dataset : Dataset
    preprocessing : Preprocessing
    augmentation : Augmentation or None
        None: training samples are cropped like validation samples.
    batch_size : int
    workers : int
        Processes that read; 0 reads in this one.
    seed : int
    on_skip : callable, optional
        Called once for every sample that cannot be read, with its name and the reason.
    shard : Shard
        The part of the data that this process reads.
    """

    def __init__(
        self,
        dataset: Dataset,
        preprocessing: Preprocessing,
        augmentation: Augmentation | None,
        batch_size: int,
        workers: int,
        seed: int,
        on_skip: OnSkip | None = None,
        shard: Shard = Shard(),  # noqa: B008  (immutable)
    ) -> None:
        super().__init__(dataset, batch_size, on_skip, shard)
        self._taken: list[tuple[typing.Any, list[typing.Any]]] = []  # each loader with its readers
        self._end_readers = weakref.finalize(self, end_readers, os.getpid(), self._taken)
        self._train = None
        if dataset.training is not None:
            self._train = self._loader(dataset.training, preprocessing, augmentation, workers, seed)
        self._val = self._loader(dataset.validation, preprocessing, None, workers, None)

    def train(self, epoch: int, first: int = 0) -> typing.Iterator[Batch]:
        """Batches of epoch `epoch` from batch `first` on, counted from 0."""
        assert self._train is not None  # callers that train open the source for training
        sampler, *loader = self._train
        sampler.epoch, sampler.first = epoch, first
        return self._batches(*loader)

    def validation(self) -> typing.Iterator[Batch]:
        """Every validation sample of this process once, in order."""
        return self._batches(*self._val[1:])

    def close(self) -> None:
        """End the processes that read; the source cannot be used any more."""
        self._end_readers()

    def _loader(
        self,
        samples: Samples,
        preprocessing: Preprocessing,
        augmentation: Augmentation | None,
        workers: int,
        seed: int | None,
    ) -> tuple[EpochSampler, typing.Any, list[typing.Any]]:
        sampler = EpochSampler(samples, self.batch_size, seed, self._shard)
        with starting_readers(workers):
            loader = mx.gluon.data.DataLoader(
                _Crops(samples, preprocessing, augmentation, seed),
                batch_sampler=sampler,
                batchify_fn=_Batchify(self.batch_size, preprocessing.input_shape, shared=workers > 0),
                num_workers=workers,
            )
        readers = take_readers(loader)
        self._taken.append((loader, readers))
        return sampler, loader, readers

    def _batches(self, loader: typing.Any, readers: list[typing.Any]) -> typing.Iterator[Batch]:
        loaded = mxnet_fixes.prefetching_iterator(loader)
        while True:
            try:
                if readers:
                    wait_for_batch(loaded, readers)
                pixels, labels, numbers, skipped, enlarged = next(loaded)
            except StopIteration:
                return
            except (OSError, EOFError) as error:  # the reader that made a batch hands over its memory
                for reader in readers:
                    reader.join(0.1)  # its connections end before it does
                check_readers(readers)
                raise reader_failure("a batch cannot be handed over", error) from None
            self._note(skipped, enlarged)
            yield Batch(pixels, labels, len(numbers), numbers)


class EpochSampler:
    """Batches of (epoch, number); shuffled and without a partial batch where there is a seed."""

    def __init__(self, samples: Samples, batch_size: int, seed: int | None, shard: Shard) -> None:
        self.count, self.batch_size, self.seed, self.shard = len(samples.names), batch_size, seed, shard
        self.groups = samples.groups
        self.epoch = self.first = 0

    def __iter__(self) -> typing.Iterator[list[tuple[int, int]]]:
        order, stride = self._order()
        for start in range(self.first * stride, len(order), stride):
            yield [(self.epoch, int(number)) for number in order[start : start + self.batch_size]]

    def __len__(self) -> int:
        order, stride = self._order()
        return -(-len(order) // stride) - self.first

    def _order(self) -> tuple[typing.Sequence[int] | np.ndarray, int]:
        """The samples of this shard in order, and the distance between the starts of its batches."""
        index, count = self.shard.index, self.shard.count
        if self.seed is None:
            groups = range(self.count) if self.groups is None else self.groups
            return [number for number, group in enumerate(groups) if group % count == index], self.batch_size
        together = self.batch_size * count
        order = np.random.default_rng((self.seed, self.epoch)).permutation(self.count)
        return order[index * self.batch_size : self.count - self.count % together], together


def read_or_next(
    samples: Samples,
    key: tuple[int, int],
    seed: int | None,
    read: typing.Callable[[int, np.random.Generator | None], _Result],
) -> tuple[int, _Result | None, dict[str, str]]:
    """Read a sample, or in training the next one that can be read.

    Parameters
    ----------
    samples : Samples
    key : tuple of int
        Epoch and number of the sample.
    seed : int or None
        None in validation.
    read : callable
        ``read(number, rng)`` returns what is read of a sample, or raises `DecodeError`.

    Returns
    -------
    tuple
        Number of the sample that was read; what `read` has returned, None if the sample of a validation cannot be read;
        reasons by the names of those that cannot be read.

    Raises
    ------
    FailureError
        If `SPARES` more cannot be read.
    """
    epoch, first = key
    spares = 0 if seed is None else min(SPARES, len(samples.names) - 1)
    skipped: dict[str, str] = {}
    for number in range(first, first + 1 + spares):
        number %= len(samples.names)
        name = samples.names[number]
        # A function of the seed, the epoch and the place in the list: a resumed run draws the same.
        rng = None if seed is None else np.random.default_rng((seed, epoch, first))
        try:
            return number, read(number, rng), skipped
        except DecodeError as error:
            skipped[name] = str(error)
    if spares:
        raise FailureError(
            f"{len(skipped)} consecutive {samples.noun} cannot be read; the last one is {name} ({skipped[name]}): "
            "check the data"
        )
    return number, None, skipped


class _Crop(typing.NamedTuple):
    """The frames of a sample (t, h, w, 3), None if it cannot be read; problems of it and of those tried before it."""

    number: int
    frames: list[np.ndarray] | None
    label: int
    name: str
    enlarged: bool
    skipped: typing.Mapping[str, str]


class _Crops:
    """The data set behind the loader: reads, crops and augments sample `number` for epoch `epoch`."""

    def __init__(
        self, samples: Samples, preprocessing: Preprocessing, augmentation: Augmentation | None, seed: int | None
    ) -> None:
        self._samples, self._preprocessing = samples, preprocessing
        self._augmentation, self._seed = augmentation, seed

    def __len__(self) -> int:
        return len(self._samples.names)

    def __getitem__(self, key: tuple[int, int]) -> _Crop:
        number, read, skipped = read_or_next(self._samples, key, self._seed, self._read)
        crop, enlarged = read or (None, False)
        return _Crop(number, crop, self._samples.labels[number], self._samples.names[number], enlarged, skipped)

    def _read(self, number: int, rng: np.random.Generator | None) -> tuple[list[np.ndarray], bool]:
        """The cropped frames of a sample, and whether it is smaller than the input."""
        frames = self._samples.read(number, rng)
        return self._crop(number, frames, rng), min(frames.shape[1:3]) < self._preprocessing.size

    def _crop(self, number: int, frames: np.ndarray, rng: np.random.Generator | None) -> list[np.ndarray]:
        height, width = frames.shape[1:3]
        if self._augmentation is None or rng is None:
            place = self._samples.place(number, width, height)
            return [self._preprocessing.crop(frame, place) for frame in frames]
        draws = self._augmentation.draw(rng, width, height)  # one for all frames of a clip
        return [self._augmentation.apply(frame, draws, self._preprocessing.size) for frame in frames]


class _Batchify:
    """Make a full batch of crops: repetitions fill up a partial one."""

    def __init__(self, batch_size: int, input_shape: tuple[int, ...], shared: bool) -> None:
        self._shape, self._shared = (batch_size, *input_shape), shared

    def __call__(self, crops: typing.Sequence[_Crop]) -> tuple[typing.Any, ...]:
        good = [crop for crop in crops if crop.frames is not None]
        ctx = mx.Context("cpu_shared", 0) if self._shared else mx.cpu()
        pixels = mx.nd.empty(self._shape, ctx=ctx, dtype=np.uint8)
        batch_size, channels, *frames, height, width = self._shape
        labels = np.zeros((batch_size,), np.float32)
        memory = mxnet_fixes.memory_of(pixels).reshape(batch_size, channels, frames[0] if frames else 1, height, width)
        if not good:
            memory.fill(0)
        for row in range(batch_size if good else 0):
            crop = good[row % len(good)]
            _write(crop, memory[row])
            labels[row] = crop.label
        skipped = {name: reason for crop in crops for name, reason in crop.skipped.items()}
        enlarged = [crop.name for crop in good if crop.enlarged]
        numbers = tuple(crop.number for crop in good)
        return pixels, mx.nd.array(labels, ctx=ctx, dtype=np.float32), numbers, skipped, enlarged


def _write(crop: _Crop, memory: np.ndarray) -> None:
    """Write the frames of a sample to its row of the batch, (3, t, h, w)."""
    channels, count, height, width = memory.shape
    frames = crop.frames or []
    if len(frames) != count:
        raise ValueError(f"{crop.name} was read as {len(frames)} frames; {count} are needed")
    for number, frame in enumerate(frames):
        if frame.shape != (height, width, channels) or frame.dtype != np.uint8:  # OpenCV would write elsewhere
            raise ValueError(f"{crop.name} was read as {frame.dtype}, {frame.shape}; RGB in uint8 is needed")
        cv2.split(frame, list(memory[:, number]))
