"""The speed of reading training data, without a network."""

from __future__ import annotations

import contextlib
import time
import typing

from a2net_gluon.devices import contexts_of
from a2net_gluon.errors import UsageError
from a2net_gluon.settings import Training
from a2net_gluon.training.assembly import training_preprocessing
from a2net_gluon.training.report import problems_in_words
from a2net_gluon.training.sources import open_source

__all__ = ["read_epoch"]


def read_epoch(training: Training, tell: typing.Callable[[str], object]) -> float:
    """Read and augment the training data of one epoch, and `tell` the speed.

    Parameters
    ----------
    training : settings.Training
    tell : callable
        Called with each line.

    Returns
    -------
    float
        Samples per second, without the first batch, during which readers start.

    Raises
    ------
    UsageError
        If settings and data do not fit, or there is only one batch.
    """
    training = training.resolved()
    noun = training.data.kind.noun
    preprocessing, devices = training_preprocessing(training), len(contexts_of(training.devices))
    source = open_source(
        training, preprocessing, devices, on_skip=lambda name, reason: tell(f"skipped {name}: {reason}")
    )
    with contextlib.closing(source):
        speed, start, interval = None, 0.0, training.run.log_interval or 1
        for number, batch in enumerate(source.train(epoch=1)):
            batch.pixels.wait_to_read()
            if number == 0:
                start = time.monotonic()
                continue
            speed = number * source.batch_size / (time.monotonic() - start)
            if (number + 1) % interval == 0:
                tell(f"batch {number + 1}/{source.train_batches}: {speed:.0f} {noun}/s")
        for text in problems_in_words(source.problems, noun):
            tell(text)
    if speed is None:
        raise UsageError(f"{source.train_batches} batch is too little to time: lower --batch-size")
    samples = f"{source.batch_size} {noun} {'×'.join(map(str, preprocessing.input_shape[1:]))}"
    tell(f"{source.train_batches} batches of {samples}: {speed:.0f} {noun}/s from the data alone")
    return speed
