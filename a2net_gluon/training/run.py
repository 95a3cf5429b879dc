"""A training run from its options to its folder."""

import functools

import mxnet as mx
import numpy as np

from a2net_gluon import from_options
from a2net_gluon.data import Description
from a2net_gluon.networks import get_model
from a2net_gluon.options import complete
from a2net_gluon.training.loop import Learner, check_finite
from a2net_gluon.training.report import Report
from a2net_gluon.training.run_folder import RunFolder
from a2net_gluon.training.schedules import make_schedule

__all__ = ["train"]


def train(args):
    """Train as `args` say, an ``argparse.Namespace`` of `training_parser`.

    Returns
    -------
    Path
        The run folder: ``run.json`` (arguments, versions, seed), ``log.txt``, ``metrics.csv``, ``curves.png``,
        ``model.json``, ``best.params`` and ``checkpoints/``.

    Raises
    ------
    UsageError
        If options and data do not fit.
    FailureError
        If data are damaged, the folder cannot be written, or the loss is no longer finite.
    """
    complete(args)
    contexts = from_options.contexts(args)
    preprocessing = from_options.preprocessing(args, args.model)
    folder = RunFolder(args)
    with Report(args.num_epochs, args.log_interval) as report:
        source = from_options.source(args, preprocessing, len(contexts), on_skip=report.skipped)
        description = Description(args.model, source.classes, preprocessing)
        learner = _make_learner(args, contexts, description, source)
        history = folder.open(learner, description, report)
        report.start(args, learner, source, description)
        for epoch in range(len(history) + 1, args.num_epochs + 1):
            history.append(_train_epoch(epoch, args.seed, learner, source, report))
            folder.record(learner, description, history)
        report.end(source, history, folder.path)
    return folder.path


def _make_learner(args, contexts, description, source):
    mx.random.seed(args.seed)
    np.random.seed(args.seed)
    classes = len(description.classes)
    make_net = functools.partial(get_model, args.model, classes=classes, last_gamma=args.last_gamma)
    period = args.lr_decay_period
    schedule = make_schedule(
        args.lr_mode,
        args.lr,
        args.num_epochs,
        source.train_batches,
        args.lr_decay,
        list(range(period, args.num_epochs + period, period)) if period else args.lr_decay_epoch,
        args.warmup_epochs,
        args.warmup_lr,
    )
    return Learner(make_net, contexts, description.preprocessing, classes, schedule, args.momentum, args.wd)


def _train_epoch(epoch, seed, learner, source, report):
    """Train and validate; returns the epoch's line of the history."""
    # Everything random in an epoch follows from the seed and its number: a resumed run needs no random state.
    mx.random.seed(int(np.random.SeedSequence((seed, epoch)).generate_state(1)[0] >> 1))
    first_step = (epoch - 1) * source.train_batches + 1
    with report.epoch(epoch, source.train_batches) as on_batch:
        progress = learner.train_epoch(source.train(epoch), first_step, on_batch)
    line = {
        "epoch": epoch,
        "learning_rate": progress.learning_rate,
        "images_per_second": round(progress.images_per_second, 1),
        "data_wait": round(progress.data_wait, 4),
        **{f"train_{name}": value for name, value in progress.meter.result().items()},
    }
    check_finite(line["train_loss"], epoch)
    line.update({f"val_{name}": value for name, value in learner.validate(source.validation()).items()})
    report.epoch_end(line, source.val_count)
    return line
