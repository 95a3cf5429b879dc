"""Samples that can be read by number, and batches of them: the vocabulary of all data sources.

A sample is a clip of t frames, (t, h, w, 3); an image is a clip of one frame.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import types
import typing

import mxnet as mx
import numpy as np

from a2net_gluon.data.preprocessing import CENTRE, Place
from a2net_gluon.errors import UsageError

__all__ = [
    "Batch",
    "Dataset",
    "ImageSamples",
    "Labels",
    "OnSkip",
    "Problems",
    "Samples",
    "Shard",
    "Source",
    "check_batch_size",
    "fingerprint",
]


Labels = typing.Union[typing.Sequence[int], np.ndarray]
OnSkip = typing.Callable[[str, str], object]  # of the name of what cannot be read, and the reason


class Batch(typing.NamedTuple):
    """Crops and labels; always full, so that the shape never changes.

    Attributes
    ----------
    pixels : NDArray (N, 3, h, w) or (N, 3, t, h, w), uint8
    labels : NDArray (N,), float32
    count : int
        Number of the first rows that are samples of their own; the rest are repetitions that fill the batch.
    numbers : tuple of int
        Numbers of the samples in these rows, ascending in validation, where samples that cannot be read leave gaps;
        empty where the source does not know them.
    """

    pixels: mx.nd.NDArray
    labels: mx.nd.NDArray
    count: int  # type: ignore[assignment]  # hides tuple.count on purpose
    numbers: tuple[int, ...] = ()


@dataclasses.dataclass(frozen=True)
class Shard:
    """The part of the data that process `index` of `count` reads.

    In training, the batches of all processes with one number make up one large batch: the one that a single process
    would read. In validation each sample belongs to exactly one process, with all others of its group.
    """

    index: int = 0
    count: int = 1


class Samples(typing.Protocol):
    """Labelled samples that can be read by number.

    Attributes
    ----------
    names : sequence of str
        Names for messages, e.g. paths.
    labels : sequence of int
    groups : sequence of int, optional
        Number of the video that each sample is a clip of; None where every sample stands for itself.
    noun : str
        What the samples are of, in messages: "images", "videos".
    """

    @property
    def names(self) -> typing.Sequence[str]: ...  # noqa: D102

    @property
    def labels(self) -> Labels: ...  # noqa: D102

    @property
    def groups(self) -> typing.Sequence[int] | None: ...  # noqa: D102

    @property
    def noun(self) -> str: ...  # noqa: D102

    def place(self, number: int, width: int, height: int) -> Place:
        """Place of the validation crop of a sample, whose frames have `width` and `height`."""
        ...

    def read(self, number: int, rng: np.random.Generator | None = None) -> np.ndarray:
        """Read a sample.

        Parameters
        ----------
        number : int
        rng : numpy.random.Generator, optional
            Chooses the frames of a training clip; None reads the frames for validation.

        Returns
        -------
        ndarray (t, h, w, 3) of uint8, RGB

        Raises
        ------
        DecodeError
            If the sample cannot be read.
        """
        ...


@dataclasses.dataclass(frozen=True)
class ImageSamples:
    """Labelled images as `Samples` of one frame.

    Attributes
    ----------
    names : sequence of str
    labels : sequence of int
    load : callable
        ``load(number)`` returns an RGB array (h, w, 3) of uint8 or raises `DecodeError`.
    groups : None
        Every image stands for itself.
    content : callable, optional
        ``content(number)`` returns the bytes of the image file or raises `DecodeError`; None where there are no files.
    """

    names: typing.Sequence[str]
    labels: Labels
    load: typing.Callable[[int], np.ndarray]
    groups: typing.Sequence[int] | None = None
    content: typing.Callable[[int], bytes] | None = None
    noun: typing.ClassVar[str] = "images"

    def place(self, number: int, width: int, height: int) -> Place:
        """The centre."""
        return CENTRE

    def read(self, number: int, rng: np.random.Generator | None = None) -> np.ndarray:
        """Read an image as a clip of one frame, (1, h, w, 3); nothing is copied, and `rng` is not used."""
        return self.load(number)[np.newaxis]


class Dataset(typing.NamedTuple):
    """Samples to train and to validate on.

    Attributes
    ----------
    name : str
        The data in messages, e.g. a path.
    classes : tuple of str
    training : Samples or None
        None where only validation is wanted.
    validation : Samples
    unreadable : dict of str to str
        Names of samples that are known to be unreadable, and the reasons.
    split : str or None
        Which of several divisions of a data set these parts are, e.g. "ucf101/1": the training part of one holds
        samples of the validation part of another.
    """

    name: str
    classes: tuple[str, ...]
    training: Samples | None
    validation: Samples
    unreadable: typing.Mapping[str, str] = types.MappingProxyType({})
    split: str | None = None

    def parts(self) -> dict[str, Samples]:
        """The samples of each part: "training", where there are any, and "validation"."""
        named = {"training": self.training, "validation": self.validation}
        return {part: samples for part, samples in named.items() if samples is not None}


class Problems:
    """Problems of the samples read so far; every sample is listed once.

    Attributes
    ----------
    skipped : dict of str to str
        Name of each sample that cannot be read, and the reason.
    enlarged : set of str
        Names of samples smaller than the network's input.
    """

    def __init__(self) -> None:
        self.skipped: dict[str, str] = {}
        self.enlarged: set[str] = set()

    def add(self, skipped: typing.Mapping[str, str], enlarged: typing.Iterable[str]) -> dict[str, str]:
        """Add the problems of one batch; returns the names skipped for the first time, with their reasons."""
        new = {name: reason for name, reason in skipped.items() if name not in self.skipped}
        self.skipped.update(new)
        self.enlarged.update(enlarged)
        return new


class Source(typing.Protocol):
    """Training and validation batches.

    Attributes
    ----------
    classes : tuple of str
    train_count, val_count : int
        Samples of all processes.
    batch_size : int
    problems : Problems
    split : str or None
        That of the `Dataset`.
    """

    classes: tuple[str, ...]
    train_count: int
    val_count: int
    batch_size: int
    problems: Problems
    split: str | None

    @property
    def train_batches(self) -> int:
        """Batches of an epoch, the same number in every process."""
        ...

    def parts(self) -> dict[str, Samples]:
        """The samples of each part that can be read one by one."""
        ...

    def train(self, epoch: int, first: int = 0) -> typing.Iterator[Batch]:
        """The batches of an epoch from batch `first` on, counted from 0: a function of the seed and the epoch."""
        ...

    def validation(self) -> typing.Iterator[Batch]:
        """Every validation sample of this process once, in order."""
        ...

    def close(self) -> None:
        """End what reads; the source cannot be used any more."""
        ...


def check_batch_size(batch_size: int, count: int, name: str, shard: Shard) -> None:
    """Raise UsageError unless `count` training samples fill at least one batch of each process."""
    if batch_size < 1:
        raise UsageError(f"batch size is {batch_size}; it must be at least 1")
    if count < batch_size * shard.count:
        processes = f" for {shard.count} processes" if shard.count > 1 else ""
        raise UsageError(
            f"{name} holds {count} images, less than one batch of {batch_size}{processes}: lower --batch-size"
        )


def fingerprint(samples: Samples) -> str:
    """SHA-256 of names and labels in order, without the folder that all names have in common: data may be moved."""
    names = samples.names
    start = len(os.path.dirname(os.path.commonprefix([min(names), max(names)]))) if len(names) else 0
    digest = hashlib.sha256()
    for name, label in zip(names, samples.labels):
        digest.update(f"{name[start:].lstrip('/')}\0{int(label)}\0".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()
