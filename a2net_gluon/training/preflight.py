"""Checks before a long run: devices, data, schedule, network, memory and disk."""

from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
import time
import typing

import mxnet as mx
import numpy as np

from a2net_gluon import environment
from a2net_gluon.data import Preprocessing, Samples, Source
from a2net_gluon.data.decoding import DecodeError
from a2net_gluon.data.soundness import check_all
from a2net_gluon.devices import contexts_of
from a2net_gluon.distributed.communicator import Communicator
from a2net_gluon.errors import FailureError, UsageError
from a2net_gluon.fields import Path
from a2net_gluon.files import write_text
from a2net_gluon.insight.counting import parameter_count
from a2net_gluon.insight.graph import Graph
from a2net_gluon.insight.memory import check_array_sizes, check_memory, takes_size, training_memory
from a2net_gluon.networks.trained import fast_options
from a2net_gluon.networks.zoo import get_model
from a2net_gluon.settings import Synthetic, Training
from a2net_gluon.terminal import printable
from a2net_gluon.training.assembly import assemble, make_rate, run_length, training_preprocessing
from a2net_gluon.training.learner import Learner
from a2net_gluon.training.run_folder import RunFolder
from a2net_gluon.training.scalars import check_tensorboard
from a2net_gluon.training.schedules import Length, warmup_steps
from a2net_gluon.training.sources import open_source

__all__ = ["Finding", "check", "check_training_memory"]

_SAMPLES = 200  # samples of each part that are decoded
_GIGABYTE = 1e9


class Finding(typing.NamedTuple):
    """One result of a check: "ok", "warn" or "FAIL", the subject, and the finding."""

    verdict: str
    what: str
    text: str


def check(training: Training, bad_list: Path | None = None) -> typing.Iterator[Finding]:
    """Check everything that a training run needs, without training.

    Parameters
    ----------
    training : settings.Training
    bad_list : str or Path, optional
        File to which the samples that cannot be read are written, one on a line: name, tab, reason. Every sample is
        then read, with every frame of a video, and not some of each part only.

    Yields
    ------
    Finding
    """
    try:
        training = training.resolved()
        if training.run.tensorboard:
            check_tensorboard()
        contexts = contexts_of(training.devices, training.optimization.dtype)
        yield Finding("ok", "devices", f"{', '.join(map(str, contexts))}; {_build()}")
        RunFolder(training, Communicator(), Learner.meter).check_free()
        yield Finding("ok", "memory", check_training_memory(training, contexts))
        preprocessing = training_preprocessing(training)
        with contextlib.closing(open_source(training, preprocessing, len(contexts))) as source:
            yield from _check_data(training, source, preprocessing.size)
            if bad_list is not None:
                yield from _check_every_sample(training, source, bad_list)
            yield Finding("ok", "preprocessing", _preprocessing_in_words(training, preprocessing))
            yield from _check_training(training, contexts, source, preprocessing)
    except (UsageError, FailureError) as error:
        yield Finding("FAIL", "options and data", str(error))


def _check_training(
    training: Training, contexts: typing.Sequence[mx.Context], source: Source, preprocessing: Preprocessing
) -> typing.Iterator[Finding]:
    """Build the parts of the run, and check the schedule, the network and the disk."""
    yield _check_schedule(training, run_length(training, source), len(contexts))
    communicator = Communicator("device" if len(contexts) > 1 else None)
    parts = assemble(training, source, preprocessing, contexts, communicator)
    shape, net = parts.description.preprocessing.input_shape, parts.learner.net
    parameters = parameter_count(net)
    network = f"{parts.description.network}, {parameters:,} parameters, {len(source.classes)} classes"
    yield Finding("ok", "network", network)
    yield _check_disk(training, parameters)
    if not isinstance(training.data, Synthetic) and os.path.isdir("/dev/shm"):
        yield _check_shared_memory(training, shape, len(contexts))


def _build() -> str:
    return "MXNet for CUDA 11.2" if environment.has_cuda_build() else "MXNet for the CPU"


def _check_data(training: Training, source: Source, size: int) -> typing.Iterator[Finding]:
    """Count the classes of each part, and decode some of its samples."""
    for part, samples in source.parts().items():
        noun = training.data.kind.noun
        yield from _check_labels(f"{part} data", samples, source.classes, noun)
        yield from _decode_some(f"{part} data", samples, size, noun)


def _check_every_sample(training: Training, source: Source, bad_list: Path) -> typing.Iterator[Finding]:
    """Read all samples, and write those that cannot be read to a file."""
    kind, bad = training.data.kind, dict(source.problems.skipped)
    noun, names = "videos" if kind.videos else kind.noun, set(bad)
    for part, samples in source.parts().items():
        short = []
        for name, problem, length in check_all(samples, training.workers or 0, f"reading {part} data"):
            names.add(name)
            if problem:
                bad[name] = problem
            elif length:
                short.append(f"{name} ({length} frames)")
        if short:
            text = f"{len(short):,} {noun} are shorter than a clip, and are repeated to fill it, e.g. {short[0]}"
            yield Finding("warn", f"{part} data", text)
    write_text(bad_list, "".join(f"{printable(name)}\t{printable(bad[name])}\n" for name in sorted(bad)))
    text = f"{len(bad):,} of {len(names):,} {noun} cannot be read; written: {bad_list}"
    yield Finding("FAIL" if bad else "ok", "bad list", text)


def _check_labels(what: str, samples: Samples, classes: typing.Sequence[str], noun: str) -> typing.Iterator[Finding]:
    labels = np.asarray(samples.labels)
    if labels.min() < 0:
        yield Finding("FAIL", what, f"label {labels.min()}: labels must count from 0")
        return
    counts = np.bincount(labels, minlength=len(classes))
    yield Finding(
        "ok",
        what,
        f"{len(samples.names):,} {noun}, {len(classes)} classes of {counts.min():,} to {counts.max():,}",
    )
    if len(counts) > len(classes):
        yield Finding("FAIL", what, f"label {len(counts) - 1} for {len(classes)} classes: set --classes")
    empty = [classes[number] for number in np.flatnonzero(counts[: len(classes)] == 0)]
    if empty:
        yield Finding("warn", what, f"{len(empty)} classes without a sample, e.g. {empty[0]}")


def _decode_some(what: str, samples: Samples, size: int, noun: str) -> typing.Iterator[Finding]:
    numbers = np.unique(np.linspace(0, len(samples.names) - 1, _SAMPLES).astype(int))
    problems, small, start = {}, [], time.monotonic()
    for number in map(int, numbers):
        try:
            if min(samples.read(number).shape[1:3]) < size:
                small.append(samples.names[number])
        except DecodeError as error:
            problems[samples.names[number]] = str(error)
    speed = len(numbers) / (time.monotonic() - start)
    yield Finding("ok", what, f"{len(numbers)} {noun} decoded at {speed:.0f} {noun}/s by one reader")
    if problems:
        name, reason = next(iter(problems.items()))
        yield Finding("warn", what, f"{len(problems)} of {len(numbers)} cannot be read, e.g. {name} ({reason})")
    if small:
        yield Finding("warn", what, f"{len(small)} of {len(numbers)} are smaller than {size} pixels, e.g. {small[0]}")


def _preprocessing_in_words(training: Training, preprocessing: Preprocessing) -> str:
    mean, scale = (
        ", ".join(f"{value:.4g}" for value in values) for values in (preprocessing.mean, preprocessing.scale)
    )
    return (
        f"training crop {preprocessing.size} pixels, augmentation {training.augmentation}; validation resize "
        f"{preprocessing.resize}, crop {preprocessing.size}; mean {mean}; scale {scale}"
    )


def _check_schedule(training: Training, length: Length, devices: int) -> Finding:
    rate, warmup = make_rate(training, length), warmup_steps(training.schedule, length)
    total = training.batch_size * devices * training.optimization.accumulate
    return Finding(
        "ok",
        "schedule",
        f"{length.in_words}, total batch {total:,} in each process; learning rate "
        f"{rate(1):.4g} in step 1, {rate(warmup + 1):.4g} after the warm-up ({training.schedule.mode})",
    )


def check_training_memory(training: Training, contexts: typing.Sequence[mx.Context]) -> str:
    """Compare what a training run needs with the memory that is free, before data and networks take any of it.

    Parameters
    ----------
    training : settings.Training
        Resolved.
    contexts : list of mxnet.Context

    Returns
    -------
    str
        Both in words.

    Raises
    ------
    UsageError
        If it needs more, or its network does not take the input.
    """
    model, optimization = str(training.network.name), training.optimization
    preprocessing = training_preprocessing(training)
    net = get_model(model, classes=training.data.classes, **training.network.blocks, **fast_options(preprocessing))
    with takes_size(model, preprocessing.size):
        graph = Graph(net, preprocessing.input_shape)
    half, ema = optimization.dtype == "float16", bool(optimization.ema)
    text = check_memory(training_memory(graph, training.batch_size, half, ema), contexts)
    check_array_sizes(graph, training.batch_size, contexts)  # validation is inference
    return text


def _check_disk(training: Training, parameters: int) -> Finding:
    """Compare the free disk space with the size of the checkpoints: those kept, the best, and the one being written."""
    copies = 3 if training.optimization.ema else 2
    needed = 4 * parameters * copies * (training.run.keep + 2)
    folder = pathlib.Path(training.save_dir or "runs").absolute()
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(existing).free
    if not os.access(existing, os.W_OK):
        return Finding("FAIL", "disk", f"{existing} is read-only")
    text = f"{free / _GIGABYTE:.1f} GB free in {existing}, checkpoints need {needed / _GIGABYTE:.2f} GB"
    return Finding("ok" if free > needed else "FAIL", "disk", text)


def _check_shared_memory(training: Training, shape: tuple[int, ...], devices: int) -> Finding:
    """Check /dev/shm, through which readers hand over batches, and which is small in containers."""
    workers = training.workers or 1
    needed = int(np.prod(shape)) * training.batch_size * devices * 2 * 2 * workers  # two loaders, two batches ahead
    free = shutil.disk_usage("/dev/shm").free
    text = f"{free / _GIGABYTE:.1f} GB free in /dev/shm, {workers} readers need up to {needed / _GIGABYTE:.2f} GB"
    if free > needed:
        return Finding("ok", "shared memory", text)
    return Finding("warn", "shared memory", f"{text}: {environment.SHARED_MEMORY_FIX}")
