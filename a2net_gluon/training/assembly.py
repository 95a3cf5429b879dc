"""The parts of a run, built from settings: preprocessing, data source, networks, loss, schedule and learner."""

from __future__ import annotations

import dataclasses
import typing

import mxnet as mx
from mxnet import gluon

from a2net_gluon.data import (
    Preprocessing,
    Source,
)
from a2net_gluon.distributed.communicator import Communicator
from a2net_gluon.errors import UsageError
from a2net_gluon.networks.description import Description
from a2net_gluon.networks.initialization import initialize
from a2net_gluon.networks.trained import fast_options, preprocessing_of
from a2net_gluon.networks.weights import ParameterFile
from a2net_gluon.networks.zoo import get_model
from a2net_gluon.settings import (
    Optimization,
    Training,
)
from a2net_gluon.training.learner import Learner
from a2net_gluon.training.loss import ClassificationLoss
from a2net_gluon.training.schedules import Length, Rate, make_schedule
from a2net_gluon.training.teacher import load_teacher

__all__ = [
    "Parts",
    "assemble",
    "describe",
    "make_loss",
    "make_networks",
    "make_rate",
    "run_length",
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
    length : Length
        Of the whole run.
    notes : tuple of str
        Lines for the log about the first weights.
    """

    source: Source
    description: Description
    learner: Learner
    rate: Rate
    length: Length
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
    length = run_length(training, source)
    rate = make_rate(training, length)
    description = describe(training, source.classes, preprocessing, source.split)
    net, validation_net, notes = make_networks(training, contexts, description)
    loss = make_loss(training, len(source.classes), length)
    teacher = load_teacher(training.loss.teacher, contexts, description) if training.loss.teacher else None
    learner = Learner(
        net, validation_net, contexts, description.preprocessing, loss, training.optimization, communicator, teacher
    )
    return Parts(source, description, learner, rate, length, notes)


def training_preprocessing(training: Training) -> Preprocessing:
    """The preprocessing of a training run; UsageError for an unknown network, or one that does not fit the data."""
    return preprocessing_of(training.input, str(training.network.name), kind=training.data.kind)


def run_length(training: Training, source: Source) -> Length:
    """The steps of a run and of an epoch, of which a last step with too few batches is dropped.

    Raises
    ------
    UsageError
        If an epoch has too few batches for the settings, or ``--resume-epoch`` leaves no step.
    """
    optimization, done = training.optimization, training.start.epochs_done
    for flag, needed in (("--accumulate", optimization.accumulate), ("--precise-bn", optimization.precise_bn)):
        if needed > source.train_batches:
            raise UsageError(f"{flag} is {needed}, an epoch has {source.train_batches} batches: lower it")
    steps = source.train_batches // optimization.accumulate
    if training.iterations is None:
        assert training.epochs is not None  # resolved
        return Length(training.epochs * steps, steps)
    if done * steps >= training.iterations:
        raise UsageError(
            f"--resume-epoch is {done}, that is {done * steps} iterations, --num-iterations {training.iterations}: "
            "nothing is left"
        )
    return Length(training.iterations, steps)


def make_rate(training: Training, length: Length) -> Rate:
    """The learning rate of each step of a run."""
    assert training.optimization.lr is not None  # resolved
    return make_schedule(training.schedule, training.optimization.lr, length)


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
        if optimization.dtype != "float32":
            net.cast(optimization.dtype)  # copies every array, also to the type that it has
        if optimization.mode == "hybrid":
            # With static_shape, operators on the CPU keep their temporary memory, 80 MB in a step of 16 images, and
            # are no faster.
            net.hybridize(static_alloc=True, static_shape=contexts[0].device_type != "cpu")
        return net

    net = get_model(description.model, pretrained=start.pretrained, ctx=list(contexts), **options)
    notes = _first_weights(training, net, contexts)
    validation_net = get_model(description.model, **options)
    validation_net.collect_params().setattr("grad_req", "null")
    validation_net.initialize(mx.init.Zero(), ctx=list(contexts))  # each validation fills it
    return finish(net), finish(validation_net), notes


def _first_weights(
    training: Training, net: gluon.HybridBlock, contexts: typing.Sequence[mx.Context]
) -> tuple[str, ...]:
    start, notes = training.start, []
    if not start.pretrained:
        initialize(net, contexts, training.seed if start.by_name else None)
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


def make_loss(training: Training, classes: int, length: Length) -> ClassificationLoss:
    """The loss; an epoch that is cut short counts among the last ones, without mixup, as every other."""
    mixup_steps = (length.epochs - training.loss.mixup_off_epochs) * length.epoch_steps + 1
    return ClassificationLoss(classes, training.loss, mixup_steps, training.seed)
