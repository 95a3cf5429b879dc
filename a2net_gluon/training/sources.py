"""Data sources, opened from settings."""

from __future__ import annotations

import typing

from a2net_gluon.data import (
    AUGMENTATIONS,
    DaliSource,
    Dataset,
    NativeSource,
    Preprocessing,
    RecordFile,
    SampleSource,
    Sampling,
    Shard,
    Source,
    SyntheticSource,
    VideoSamples,
    ViewGrid,
    ViewSamples,
    clip_record_dataset,
    digit_pairs_dataset,
    digits_dataset,
    folder_dataset,
    moving_digits_dataset,
    record_dataset,
)
from a2net_gluon.data.records import class_names
from a2net_gluon.data.samples import OnSkip
from a2net_gluon.data.video_datasets import open_videos
from a2net_gluon.devices import contexts_of
from a2net_gluon.errors import UsageError
from a2net_gluon.settings import (
    Data,
    DigitPairs,
    Evaluation,
    ImageFolder,
    MovingDigits,
    PackedClips,
    Records,
    Synthetic,
    Training,
    Videos,
)

__all__ = ["open_source"]


def open_source(
    options: Training | Evaluation,
    preprocessing: Preprocessing,
    devices: int = 1,
    classes: typing.Sequence[str] | None = None,
    on_skip: OnSkip | None = None,
    shard: Shard = Shard(),  # noqa: B008  (immutable)
    tell: typing.Callable[[str], object] = lambda line: None,
) -> Source:
    """Open the data of a training run, or the validation data of an evaluation.

    Parameters
    ----------
    options : settings.Training or settings.Evaluation
        Resolved.
    preprocessing : Preprocessing
    devices : int
        A batch holds the batch size of the settings for each.
    classes : sequence of str, optional
        The classes that a network was trained on; default: those of the data.
    on_skip : callable, optional
        Called with name and reason of each image that cannot be read.
    shard : Shard
        The part of the data this process reads.
    tell : callable, optional
        Called with lines for the log about the data.

    Raises
    ------
    UsageError
        If data are missing, or the number of classes in the settings is not theirs.
    FailureError
        If data are damaged.
    """
    data, training = options.data, options if isinstance(options, Training) else None
    batch_size, seed = options.batch_size * devices, training.seed if training else 0
    if isinstance(data, Synthetic):
        count = data.classes or len(classes or ()) or 1000
        return SyntheticSource(count, preprocessing, batch_size, data.batches, seed)
    reading: dict[str, typing.Any] = {
        "preprocessing": preprocessing,
        "augmentation": AUGMENTATIONS[str(training.augmentation)] if training else None,
        "batch_size": batch_size,
        "workers": options.workers,
        "seed": seed,
        "shard": shard,
    }
    if isinstance(data, Records) and data.native:
        train, val = _image_files(data, training is not None)
        names = class_names(classes or data.classes, [file for file in (train, val) if file is not None])
        return NativeSource(train, val, names, **reading)
    dataset = _dataset(data, training is not None, classes, Sampling.of(preprocessing), options.workers or 0, tell)
    if isinstance(options, Evaluation) and isinstance(dataset.validation, VideoSamples):
        dataset = dataset._replace(validation=ViewSamples(dataset.validation, ViewGrid.of(options.views)))
    if isinstance(data, (ImageFolder, Records)) and data.reader == "dali":
        gpus = [context.device_id for context in contexts_of(options.devices) if context.device_type == "gpu"]
        return DaliSource(dataset, on_skip=on_skip, gpus=gpus, **reading)
    return SampleSource(dataset, on_skip=on_skip, **reading)


def _dataset(
    data: Data,
    training: bool,
    classes: typing.Sequence[str] | None,
    sampling: Sampling,
    workers: int,
    tell: typing.Callable[[str], object],
) -> Dataset:
    if isinstance(data, PackedClips):
        return clip_record_dataset(*_record_files(data, training), sampling, classes or data.classes)
    if isinstance(data, Records):
        return record_dataset(*_image_files(data, training), classes=classes or data.classes)
    if isinstance(data, ImageFolder):
        dataset = folder_dataset(data.path, training, classes)
    elif isinstance(data, Videos):
        dataset = open_videos(data, sampling, not training, classes, workers, tell)
        if training and dataset.training is None:
            raise UsageError(f"{data.path}: no training videos: name --train-list FILE, or put them in train/<class>/")
    elif isinstance(data, MovingDigits):
        dataset = moving_digits_dataset(sampling, training)
    elif isinstance(data, DigitPairs):
        dataset = digit_pairs_dataset(data.distance, training)
    else:
        dataset = digits_dataset(training)
    if data.classes not in (None, len(dataset.classes)):
        raise UsageError(f"--classes is {data.classes}, the data have {len(dataset.classes)}: leave --classes out")
    return dataset


def _image_files(data: Records, training: bool) -> tuple[RecordFile | None, RecordFile]:
    train, val = _record_files(data, training)
    for file in (train, val):
        if file is not None and file.holds_clips:
            raise UsageError(
                f"{file.rec}: holds clips of videos, not images: train-video and networks for clips take it"
            )
    return train, val


def _record_files(data: Records | PackedClips, training: bool) -> tuple[RecordFile | None, RecordFile]:
    needed = {"--rec-val": data.val, **({"--rec-train": data.train} if training else {})}
    for flag, value in needed.items():
        if not value:
            raise UsageError(f"--use-rec needs {flag} FILE")
    train = RecordFile(data.train, data.train_index) if training and data.train else None
    return train, RecordFile(str(data.val), data.val_index)
