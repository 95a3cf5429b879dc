"""Batches of record files from MXNet's C++ ImageRecordIter.

The iterator needs no worker processes, but it has limits: it uses fewer threads than half of the processors, all images
have to be decoded once before (`proven_records`), it draws one augmentation per position in the batch, and it cannot
start in the middle of an epoch. It is used only on request (``--native-reader``).
"""

from __future__ import annotations

import itertools
import typing

import mxnet as mx
import numpy as np

from a2net_gluon.data.augmentation import Augmentation
from a2net_gluon.data.preprocessing import INTERPOLATION, Preprocessing
from a2net_gluon.data.proven_records import check_decodable
from a2net_gluon.data.records import RecordFile
from a2net_gluon.data.samples import Batch, Problems, Samples, Shard, check_batch_size
from a2net_gluon.errors import FailureError, UsageError, reason_of

__all__ = ["NativeSource"]


class NativeSource:
    """Training and validation batches from MXNet's record iterator.

    Parameters
    ----------
    train, val : RecordFile
        `train` may be None where only validation is wanted.
    classes : sequence of str
    preprocessing, augmentation, batch_size, seed, shard
        As for `SampleSource`, but a process shuffles within its own part of the file.
    workers : int
        Threads that decode; MXNet uses at most one less than half of the processors, and at least one. And processes
        that check all images, once.

    Raises
    ------
    UsageError
        If the records do not fill one batch of each process, or MXNet does not have the crops of `augmentation`.
    FailureError
        If a record is damaged, so that the iterator cannot decode it; see `check_decodable`.

    Notes
    -----
    Each epoch has a new iterator, with seeds derived from the run's seed and the epoch, and with ``seed_aug``:
    otherwise the augmentation of an image would depend on the thread that decodes it. MXNet then draws by an image's
    position in the batch, so all batches of an epoch have the same draws.
    """

    def __init__(
        self,
        train: RecordFile | None,
        val: RecordFile,
        classes: typing.Sequence[str],
        preprocessing: Preprocessing,
        augmentation: Augmentation | None,
        batch_size: int,
        workers: int,
        seed: int,
        shard: Shard = Shard(),  # noqa: B008  (immutable)
    ) -> None:
        if augmentation is not None and type(augmentation) is not Augmentation:
            raise UsageError("--native-reader has no such crops: choose another --augmentation, e.g. dpn, or omit it")
        for file in (train, val):
            if file is not None:
                check_decodable(file, workers)
        if train is not None:
            check_batch_size(batch_size, min(_part_sizes(len(train), shard.count)) * shard.count, str(train.rec), shard)
        self.classes = tuple(classes)
        self._shard = shard
        self.train_count = len(train) if train is not None else 0
        self.val_count = len(val)
        self.batch_size = batch_size
        self.problems = Problems()
        self.split: str | None = None
        self._train, self._val = train, val
        self._preprocessing, self._augmentation = preprocessing, augmentation
        self._workers, self._seed = workers, seed

    def close(self) -> None:
        """Do nothing: there are no worker processes."""

    def parts(self) -> dict[str, Samples]:
        """The samples of each part: "training", where there are any, and "validation"."""
        parts = {"training": self._train, "validation": self._val}
        return {part: file.images() for part, file in parts.items() if file is not None}

    @property
    def train_batches(self) -> int:
        """Batches in one epoch, the same number in every process; a last, partial one is dropped."""
        return min(_part_sizes(self.train_count, self._shard.count)) // self.batch_size

    def train(self, epoch: int, first: int = 0) -> typing.Iterator[Batch]:
        """Batches of epoch `epoch` from batch `first` on, counted from 0; earlier ones are decoded and dropped."""
        order_seed, draw_seed = np.random.SeedSequence((self._seed, epoch)).generate_state(2) >> 4  # MXNet takes int32
        options = self._train_options(int(draw_seed))
        batches = self._batches(self._train, shuffle=True, seed=int(order_seed), **options)
        return itertools.islice(batches, first, self.train_batches)

    def validation(self) -> typing.Iterator[Batch]:
        """Every validation image once, in order."""
        return self._batches(self._val, resize=self._preprocessing.resize)

    def _train_options(self, seed: int) -> dict[str, typing.Any]:
        augmentation = self._augmentation
        if augmentation is None:
            return {"resize": self._preprocessing.resize}
        return {
            "random_resized_crop": True,
            "min_random_area": augmentation.min_area,
            "max_random_area": 1.0,
            "min_aspect_ratio": 1 / augmentation.aspect,
            "max_aspect_ratio": augmentation.aspect,
            "rand_mirror": augmentation.mirror,
            "random_h": augmentation.hue,
            "random_s": augmentation.saturation,
            "random_l": augmentation.lightness,
            "seed_aug": seed,
        }

    def _batches(self, file: RecordFile | None, **options: typing.Any) -> typing.Iterator[Batch]:
        assert file is not None  # callers that train open the source for training
        images = _part_sizes(len(file), self._shard.count)[self._shard.index]
        if not images:
            return
        try:
            yield from self._iterate(file, min(self.batch_size, images), **options)  # a larger batch is an error
        except mx.MXNetError as error:  # such as an empty crop of an image of one pixel
            reason = f"MXNet's iterator failed ({reason_of(error)})"
            raise FailureError(f"{file.rec}: {reason}: leave --native-reader out") from None

    def _iterate(self, file: RecordFile, rows: int, **options: typing.Any) -> typing.Iterator[Batch]:
        iterator = mx.io.ImageRecordIter(
            path_imgrec=str(file.rec),
            path_imgidx=str(file.idx),
            data_shape=self._preprocessing.input_shape,
            batch_size=rows,
            dtype="uint8",
            inter_method=INTERPOLATION,
            preprocess_threads=max(1, self._workers),
            verbose=False,
            part_index=self._shard.index,
            num_parts=self._shard.count,
            **options,
        )
        for batch in iterator:
            # The last batch is filled with records from the start; `pad` says how many.
            pixels, labels = batch.data[0], batch.label[0]
            if rows < self.batch_size:
                again = mx.nd.array(np.arange(self.batch_size) % rows)
                pixels, labels = pixels.take(again), labels.take(again)
            yield Batch(pixels, labels, rows - batch.pad)


def _part_sizes(images: int, parts: int) -> list[int]:
    """The number of `images` that MXNet gives to each of `parts` processes: the last ones get fewer, or none."""
    size = -(-images // parts)
    return [max(0, min(size, images - size * part)) for part in range(parts)]
