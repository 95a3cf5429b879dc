"""The speed of reading training data, without a network: of several numbers of readers, and how many feed a device."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import time
import typing

from a2net_gluon.data import Problems
from a2net_gluon.devices import contexts_of
from a2net_gluon.errors import UsageError
from a2net_gluon.settings import Training
from a2net_gluon.training.assembly import training_preprocessing
from a2net_gluon.training.report import problems_in_words
from a2net_gluon.training.sources import open_source

__all__ = ["reader_speeds", "readers_in_words"]

_SECONDS = 10.0  # for each of several numbers of readers
_DEVICES = (1, 2, 4, 8)


def reader_speeds(
    training: Training, tell: typing.Callable[[str], object], device_rate: float | None = None
) -> dict[int, float]:
    """Read and augment training data with several numbers of readers, and `tell` the speeds.

    Parameters
    ----------
    training : settings.Training
        With a number of workers, only that is measured, over one epoch; without, 1, 2, 4 … up to the cores that this
        process may use, each for up to ten seconds of an epoch.
    tell : callable
        Called with each line.
    device_rate : float, optional
        Samples that one device trains per second; a line then says how many readers feed one or more devices.

    Returns
    -------
    dict of int to float
        Samples per second by the number of readers, without the first batches, during which readers start.

    Raises
    ------
    UsageError
        If settings and data do not fit, or there is only one batch.
    """
    cores, problems = len(os.sched_getaffinity(0)), Problems()
    if training.workers is not None:
        speeds = {training.workers: _speed(training, tell, problems, math.inf)}
    else:
        each = [dataclasses.replace(training, workers=1 << power) for power in range(cores.bit_length())]
        speeds = {one.workers or 0: _speed(one, tell, problems, _SECONDS) for one in each}
    for text in problems_in_words(problems, training.data.kind.noun):
        tell(text)
    if device_rate is not None:
        tell(readers_in_words(speeds, device_rate, cores, training.data.kind.noun))
    return speeds


def readers_in_words(speeds: typing.Mapping[int, float], device_rate: float, cores: int, noun: str = "images") -> str:
    """Say how many readers feed one or more devices, if readers on other cores are as fast as those measured.

    Parameters
    ----------
    speeds : dict of int to float
        Samples per second by the number of readers.
    device_rate : float
        Samples that one device trains per second.
    cores : int
        Of this machine.
    noun : str
        The samples.
    """
    count = max(speeds)
    each = speeds[count] / count
    needed = [f"{devices}: {math.ceil(devices * device_rate / each)}" for devices in _DEVICES]
    return (
        f"readers for devices that train {device_rate:g} {noun}/s each: {', '.join(needed)} "
        f"({each:.0f} {noun}/s a reader, of {count}; a reader needs a core, {cores} are here)"
    )


def _speed(training: Training, tell: typing.Callable[[str], object], problems: Problems, seconds: float) -> float:
    """Samples per second, over an epoch or so many seconds of it; adds to the `problems` of earlier readings."""
    training = training.resolved()
    noun, workers = training.data.kind.noun, training.workers
    preprocessing, devices = training_preprocessing(training), len(contexts_of(training.devices))

    def skip(name: str, reason: str) -> None:
        for new in problems.add({name: reason}, ()):
            tell(f"skipped {new}: {reason}")

    source = open_source(training, preprocessing, devices, on_skip=skip)
    with contextlib.closing(source):
        first = min(workers or 1, source.train_batches // 2)  # batches that are read while readers start
        speed, start, number, interval = None, math.inf, 0, training.run.log_interval or 1
        for number, batch in enumerate(source.train(epoch=1), 1):
            batch.pixels.wait_to_read()
            if number == first:
                start = time.monotonic()
            elif number > first:
                passed = time.monotonic() - start
                speed = (number - first) * source.batch_size / passed
                if number % interval == 0 and math.isinf(seconds):
                    tell(f"batch {number}/{source.train_batches}: {speed:.0f} {noun}/s")
                if passed > seconds:
                    break
        problems.add({}, source.problems.enlarged)
    if speed is None:
        raise UsageError(f"{source.train_batches} batch is too little to time: lower --batch-size")
    samples = f"{source.batch_size} {noun} {'×'.join(map(str, preprocessing.input_shape[1:]))}"
    readers = f"{workers} reader{'s' if workers != 1 else ''}"
    tell(f"{readers}, {number} batches of {samples}: {speed:.0f} {noun}/s from the data alone")
    return speed
