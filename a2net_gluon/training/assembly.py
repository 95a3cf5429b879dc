"""The parts of a run, built from settings: preprocessing, data source, networks, loss, schedule and learner."""

from __future__ import annotations

import dataclasses
import os
import typing

import mxnet as mx
from mxnet import gluon

from a2net_gluon.data import (
    AUGMENTATIONS,
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
    digits_dataset,
    folder_dataset,
    moving_digits_dataset,
    record_dataset,
)
from a2net_gluon.data.records import class_names
from a2net_gluon.data.videos import INDEX, find_lists, video_dataset
from a2net_gluon.data.samples import OnSkip
from a2net_gluon.distributed.communicator import Communicator
from a2net_gluon.errors import UsageError
from a2net_gluon.networks.description import Description
from a2net_gluon.networks.trained import fast_options, preprocessing_of
from a2net_gluon.networks.weights import ParameterFile
from a2net_gluon.networks.zoo import get_model
from a2net_gluon.settings import (
    Data,
    Evaluation,
    ImageFolder,
    MovingDigits,
    Optimization,
    Records,
    Synthetic,
    Training,
    Videos,
    Views,
)
from a2net_gluon.training.learner import Learner
from a2net_gluon.training.loss import ClassificationLoss
from a2net_gluon.training.schedules import Rate, make_schedule
from a2net_gluon.training.teacher import load_teacher

__all__ = [
    "Parts",
    "assemble",
    "describe",
    "make_loss",
    "make_networks",
    "make_rate",
    "open_source",
    "steps_per_epoch",
    "training_preprocessing",
]


@dataclasses.dataclass(frozen=True)
class Parts:
    """The parts of a training run, ready for use.

    Attributes
    ----------
    source : Source
    description : Description
    learner : Learner
    rate : callable
        Learning rate of a step, see `make_schedule`.
    steps_per_epoch : int
    notes : tuple of str
        Lines for the log about the first weights.
    """

    source: Source
    description: Description
    learner: Learner
    rate: Rate
    steps_per_epoch: int
    notes: tuple[str, ...] = ()


def assemble(
    training: Training,
    source: Source,
    preprocessing: Preprocessing,
    contexts: typing.Sequence[mx.Context],
    communicator: Communicator,
) -> Parts:
    """Make the parts of a run on an open `source`.

    Parameters
    ----------
    training : settings.Training
        Resolved.
    source : Source
    preprocessing : Preprocessing
        That of the source.
    contexts : list of mxnet.Context
    communicator : Communicator

    Raises
    ------
    UsageError
        If settings, parameters and data do not fit together.
    FailureError
        If a file is damaged.
    """
    steps = steps_per_epoch(training, source)
    rate = make_rate(training, steps)
    description = describe(training, source.classes, preprocessing, source.split)
    net, validation_net, notes = make_networks(training, contexts, description)
    loss = make_loss(training, len(source.classes), steps)
    teacher = load_teacher(training.loss.teacher, contexts, description) if training.loss.teacher else None
    learner = Learner(
        net, validation_net, contexts, description.preprocessing, loss, training.optimization, communicator, teacher
    )
    return Parts(source, description, learner, rate, steps, notes)


def training_preprocessing(training: Training) -> Preprocessing:
    """The preprocessing of a training run; UsageError for an unknown network, or one that does not fit the data."""
    return preprocessing_of(training.input, str(training.network.name), kind=training.data.kind)


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
        train, val = _record_files(data, training is not None)
        names = class_names(classes or data.classes, [file for file in (train, val) if file is not None])
        return NativeSource(train, val, names, **reading)
    sampling = Sampling(preprocessing.frames or 1, preprocessing.stride)
    if isinstance(data, Videos):
        dataset = _video_dataset(data, training is not None, classes, sampling, options.workers or 0, tell)
    else:
        dataset = _dataset(data, training is not None, classes, sampling)
    if isinstance(options, Evaluation) and isinstance(dataset.validation, VideoSamples):
        dataset = dataset._replace(validation=ViewSamples(dataset.validation, _grid(options.views)))
    return SampleSource(dataset, on_skip=on_skip, **reading)


def _grid(views: Views) -> ViewGrid:
    assert views.clips is not None  # resolved
    assert views.crops is not None
    return ViewGrid(views.clips, views.crops, views.protocol.clip_places, views.protocol.crop_places, views.seed)


def _dataset(data: Data, training: bool, classes: typing.Sequence[str] | None, sampling: Sampling) -> Dataset:
    if isinstance(data, Records):
        return record_dataset(*_record_files(data, training), classes=classes or data.classes)
    if isinstance(data, ImageFolder):
        dataset = folder_dataset(data.path, training, classes)
    elif isinstance(data, MovingDigits):
        dataset = moving_digits_dataset(sampling, training)
    else:
        dataset = digits_dataset(training)
    return _of_classes(dataset, data)


def _of_classes(dataset: Dataset, data: Data) -> Dataset:
    if data.classes not in (None, len(dataset.classes)):
        raise UsageError(f"--classes is {data.classes}, the data have {len(dataset.classes)}: leave --classes out")
    return dataset


def _video_dataset(
    data: Videos,
    training: bool,
    classes: typing.Sequence[str] | None,
    sampling: Sampling,
    workers: int,
    tell: typing.Callable[[str], object],
) -> Dataset:
    train, val = find_lists(data.path, data.train_list, data.val_list, data.ucf_split, classes)
    if training and train is None:
        raise UsageError(f"{data.path}: no training videos: name --train-list FILE, or put them in train/<class>/")
    # The lengths of videos are kept where the user keeps the list.
    index_files = {
        part: f"{path}{INDEX}" if path else os.path.join(data.path, f"{part}{INDEX}")
        for part, path in (("training", data.train_list), ("validation", data.val_list))
    }
    dataset = video_dataset(train if training else None, val, sampling, index_files, str(data.path), workers, tell)
    return _of_classes(dataset, data)


def _record_files(data: Records, training: bool) -> tuple[RecordFile | None, RecordFile]:
    needed = {"--rec-val": data.val, **({"--rec-train": data.train} if training else {})}
    for flag, value in needed.items():
        if not value:
            raise UsageError(f"--use-rec needs {flag} FILE")
    train = RecordFile(data.train, data.train_index) if training and data.train else None
    return train, RecordFile(str(data.val), data.val_index)


def steps_per_epoch(training: Training, source: Source) -> int:
    """Steps of an epoch; a last one with too few batches is dropped."""
    accumulate = training.optimization.accumulate
    steps = source.train_batches // accumulate
    if not steps:
        raise UsageError(f"--accumulate is {accumulate}, an epoch has {source.train_batches} batches: lower it")
    return steps


def make_rate(training: Training, steps: int) -> Rate:
    """The learning rate of each step, for `steps` steps an epoch."""
    assert training.optimization.lr is not None  # resolved
    assert training.epochs is not None
    return make_schedule(training.schedule, training.optimization.lr, training.epochs, steps)


def describe(
    training: Training, classes: typing.Sequence[str], preprocessing: Preprocessing, split: str | None = None
) -> Description:
    """The description to keep beside the parameters; `split` is that of the data."""
    name, blocks = str(training.network.name), training.network.blocks
    return Description(name, tuple(classes), preprocessing, options=blocks, trained_on=split)


def make_networks(
    training: Training, contexts: typing.Sequence[mx.Context], description: Description
) -> tuple[gluon.HybridBlock, gluon.HybridBlock, tuple[str, ...]]:
    """The network with its first weights, a second one for validation, and notes about the weights for the log."""
    optimization, start = training.optimization, training.start
    options: dict[str, typing.Any] = {
        "classes": len(description.classes),
        "last_gamma": start.last_gamma,
        **_norm(optimization, contexts),
        **description.options,
        **fast_options(description.preprocessing),
    }

    def finish(net: gluon.HybridBlock) -> gluon.HybridBlock:
        net.cast(optimization.dtype)
        if optimization.mode == "hybrid":
            net.hybridize(static_alloc=True, static_shape=True)
        return net

    net = get_model(description.model, pretrained=start.pretrained, ctx=list(contexts), **options)
    notes = _first_weights(training, net, contexts)
    validation_net = get_model(description.model, **options)
    validation_net.initialize(mx.init.Zero(), ctx=list(contexts))  # each validation fills it
    return finish(net), finish(validation_net), notes


def _first_weights(
    training: Training, net: gluon.HybridBlock, contexts: typing.Sequence[mx.Context]
) -> tuple[str, ...]:
    start, notes = training.start, []
    if not start.pretrained:
        net.initialize(mx.init.MSRAPrelu(), ctx=list(contexts))
    if start.base:
        base = ParameterFile(start.base)
        notes.append(f"{base.path}: {base.load_backbone(net)}")
    if start.params:
        ParameterFile(start.params).load(net, list(contexts))
    return tuple(notes)


def _norm(optimization: Optimization, contexts: typing.Sequence[mx.Context]) -> dict[str, typing.Any]:
    """The BN layer of ``--norm``."""
    if optimization.norm == "batch":
        return {}
    if optimization.norm == "frozen":
        return {"norm_kwargs": {"use_global_stats": True}}
    if len(contexts) > 1 and contexts[0].device_type == "cpu":
        raise UsageError("--norm sync: MXNet 1.9.1's SyncBatchNorm crashes on several CPU contexts; it is for GPUs")
    if optimization.dtype == "float16":
        raise UsageError("--norm sync: MXNet's SyncBatchNorm has no float16; leave --dtype float16 out")
    return {"norm_layer": mx.gluon.contrib.nn.SyncBatchNorm, "norm_kwargs": {"num_devices": len(contexts)}}


def make_loss(training: Training, classes: int, steps: int) -> ClassificationLoss:
    """The loss, for `steps` steps an epoch."""
    assert training.epochs is not None  # resolved
    mixup_steps = (training.epochs - training.loss.mixup_off_epochs) * steps + 1
    return ClassificationLoss(classes, training.loss, mixup_steps, training.seed)
