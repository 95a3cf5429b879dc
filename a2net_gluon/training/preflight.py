"""What can be known to go wrong before a long run is started."""

import contextlib
import os
import pathlib
import shutil
import time
import typing

import mxnet as mx
import numpy as np

from a2net_gluon import environment, from_options
from a2net_gluon.data.decoding import DecodeError
from a2net_gluon.distributed.communicator import Communicator
from a2net_gluon.errors import FailureError, UsageError
from a2net_gluon.insight.counting import cost
from a2net_gluon.insight.memory import training_memory
from a2net_gluon.options import complete
from a2net_gluon.training import assembly
from a2net_gluon.training.run_folder import RunFolder
from a2net_gluon.training.scalars import check_tensorboard

__all__ = ["Finding", "check_run"]

_SAMPLES = 200  # images of each part that are decoded
_GIGABYTE = 1e9


class Finding(typing.NamedTuple):
    """One thing that was looked at: "ok", "warn" or "FAIL", what it is, and what was found."""

    verdict: str
    what: str
    text: str


def check_run(args):
    """Look through everything a run as `args` say would need, without training.

    Parameters
    ----------
    args : argparse.Namespace
        Options of training.

    Yields
    ------
    Finding
    """
    try:
        if args.tensorboard:
            check_tensorboard()
        complete(args)
        contexts = from_options.contexts(args)
        yield Finding("ok", "devices", f"{', '.join(map(str, contexts))}; {_build()}")
        RunFolder(args, Communicator())
        preprocessing = from_options.preprocessing(args, args.model)
        with contextlib.closing(from_options.source(args, preprocessing, len(contexts))) as source:
            for part, images in source.image_lists().items():
                yield from _check_images(part, images, source.classes, preprocessing.size)
            yield Finding("ok", "preprocessing", _preprocessing_in_words(args, preprocessing))
            yield from _check_training(args, contexts, source, preprocessing)
    except (UsageError, FailureError) as error:
        yield Finding("FAIL", "options and data", str(error))


def _check_training(args, contexts, source, preprocessing):
    """The parts of a run, made as it would make them, and the room they take."""
    steps = assembly.steps_per_epoch(args, source)
    yield _check_schedule(args, steps, len(contexts))
    description = assembly.description(args, source.classes, preprocessing)
    net = assembly.net_maker(args, contexts, description)()
    assembly.objective(args, contexts, description, steps)  # loads the teacher
    parameters = cost(net, (3, preprocessing.size, preprocessing.size)).params
    yield Finding("ok", "network", f"{description.network}, {parameters:,} parameters, {len(source.classes)} classes")
    yield from _check_memory(args, net, contexts, preprocessing.size)
    yield from _check_disk(args, parameters)
    yield from _check_shared_memory(args, preprocessing.size, len(contexts))


def _build():
    return "MXNet for CUDA 11.2" if environment.has_cuda_build() else "MXNet for the CPU"


def _check_images(part, images, classes, size):
    """Counts of classes, and a sample that is decoded."""
    what, labels = f"{part} data", np.asarray(images.labels)
    if labels.min() < 0:
        yield Finding("FAIL", what, f"label {labels.min()}: labels must count from 0")
        return
    counts = np.bincount(labels, minlength=len(classes))
    yield Finding(
        "ok",
        what,
        f"{len(images.names):,} images, {len(classes)} classes of {counts.min():,} to {counts.max():,} images",
    )
    if len(counts) > len(classes):
        yield Finding("FAIL", what, f"label {len(counts) - 1} for {len(classes)} classes: set --classes")
    empty = [classes[number] for number in np.flatnonzero(counts[: len(classes)] == 0)]
    if empty:
        yield Finding("warn", what, f"{len(empty)} classes without an image, e.g. {empty[0]}")
    numbers = np.unique(np.linspace(0, len(images.names) - 1, _SAMPLES).astype(int))
    problems, small, start = {}, [], time.monotonic()
    for number in map(int, numbers):
        try:
            if min(images.read(number).shape[:2]) < size:
                small.append(images.names[number])
        except DecodeError as error:
            problems[images.names[number]] = str(error)
    speed = len(numbers) / (time.monotonic() - start)
    yield Finding("ok", what, f"{len(numbers)} images decoded at {speed:.0f} images/s by one reader")
    if problems:
        name, reason = next(iter(problems.items()))
        yield Finding("warn", what, f"{len(problems)} of {len(numbers)} cannot be read, e.g. {name} ({reason})")
    if small:
        yield Finding("warn", what, f"{len(small)} of {len(numbers)} are smaller than {size} pixels, e.g. {small[0]}")


def _preprocessing_in_words(args, preprocessing):
    mean, scale = (
        ", ".join(f"{value:.4g}" for value in values) for values in (preprocessing.mean, preprocessing.scale)
    )
    return (
        f"training crop {preprocessing.size} pixels, augmentation {args.augmentation}; validation resize "
        f"{preprocessing.resize}, crop {preprocessing.size}; mean {mean}; scale {scale}"
    )


def _check_schedule(args, steps, devices):
    rate = assembly.schedule(args, steps)
    total = args.batch_size * devices * args.accumulate
    return Finding(
        "ok",
        "schedule",
        f"{args.num_epochs} epochs of {steps:,} steps, total batch {total:,} in each process; learning rate "
        f"{rate(1):.4g} in step 1, {rate(args.warmup_epochs * steps + 1):.4g} after the warm-up ({args.lr_mode})",
    )


def _check_memory(args, net, contexts, size):
    """An estimate for each device, against what a GPU has free."""
    needed = training_memory(net, (args.batch_size, 3, size, size), half=args.dtype == "float16", ema=bool(args.ema))
    text = f"about {needed / _GIGABYTE:.1f} GB for each device (estimate)"
    free = [mx.context.gpu_memory_info(ctx.device_id)[0] for ctx in contexts if ctx.device_type == "gpu"]
    if free and min(free) < needed:
        yield Finding(
            "warn", "memory", f"{text}, {min(free) / _GIGABYTE:.1f} GB are free: a smaller --batch-size may help"
        )
    else:
        yield Finding("ok", "memory", text)


def _check_disk(args, parameters):
    """Room for the checkpoints: those kept, the best, and the one being written."""
    needed = 4 * parameters * (3 if args.ema else 2) * (args.keep + 2)
    folder = pathlib.Path(args.save_dir or "runs").absolute()
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(existing).free
    writable = os.access(existing, os.W_OK)
    text = f"{free / _GIGABYTE:.1f} GB free in {existing}, checkpoints need {needed / _GIGABYTE:.2f} GB"
    yield Finding(
        "ok" if writable and free > needed else "FAIL", "disk", text if writable else f"{existing} is read-only"
    )


def _check_shared_memory(args, size, devices):
    """Readers hand over batches in /dev/shm, which containers keep small."""
    if args.benchmark or not os.path.isdir("/dev/shm"):
        return
    needed = 3 * size * size * args.batch_size * devices * 2 * 2 * args.num_workers  # two loaders, two batches ahead
    free = shutil.disk_usage("/dev/shm").free
    text = (
        f"{free / _GIGABYTE:.1f} GB free in /dev/shm, {args.num_workers} readers need up to {needed / _GIGABYTE:.2f} GB"
    )
    enough = free > needed
    yield Finding("ok" if enough else "warn", "shared memory", text if enough else f"{text}: lower -j, or --shm-size")
