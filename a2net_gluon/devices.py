"""Devices as contexts of MXNet."""

from __future__ import annotations

import os
import typing

import mxnet as mx

from a2net_gluon.environment import THREADS, available_memory
from a2net_gluon.errors import UsageError
from a2net_gluon.settings import Devices

__all__ = ["check_contexts", "contexts_of", "free_memory"]


def contexts_of(devices: Devices, dtype: str = "float32") -> list[mx.Context]:
    """Return the contexts of `devices`.

    Raises
    ------
    UsageError
        If a device is not there, or cannot compute in `dtype`.
    """
    gpus = devices.gpus if devices.gpus is not None else range(devices.num_gpus)
    if gpus:
        return check_contexts([mx.gpu(index) for index in gpus])
    if dtype == "float16":
        raise UsageError(
            "--dtype float16 needs GPUs: MXNet has no float16 convolution on the CPU; name some with --gpus"
        )
    threads = os.environ[THREADS]
    if devices.cpu_contexts > 1 and threads != "1":  # see environment.set_thread_count
        raise UsageError(f"{devices.cpu_contexts} CPU contexts can hang with {THREADS}={threads}: set it to 1")
    return [mx.cpu(index) for index in range(devices.cpu_contexts)]


def free_memory(contexts: typing.Sequence[mx.Context]) -> int | None:
    """Return the bytes that are free on each of `contexts`, the fewest; None if unknown.

    CPU contexts share the memory of the machine.
    """
    cpus = sum(one.device_type == "cpu" for one in contexts)
    available = available_memory() if cpus else None
    free = [] if available is None else [available // cpus]
    free += [mx.context.gpu_memory_info(one.device_id)[0] for one in contexts if one.device_type == "gpu"]
    return min(free, default=None)


def check_contexts(ctx: mx.Context | typing.Sequence[mx.Context]) -> list[mx.Context]:
    """Return `ctx`, one context or several, as a list of contexts that exist on this machine.

    Raises
    ------
    UsageError
        If an element is not a context, or names a GPU that does not exist.
    """
    contexts = list(ctx) if isinstance(ctx, (list, tuple)) else [ctx]
    if not contexts or not all(isinstance(one, mx.Context) for one in contexts):
        raise UsageError(f"ctx is {ctx!r}; it must be a context such as mx.cpu() or mx.gpu(0), or a list of them")
    if len(set(contexts)) < len(contexts):
        raise UsageError(f"ctx is {contexts}: each device can be named once")
    gpus = [one.device_id for one in contexts if one.device_type == "gpu"]
    available = mx.context.num_gpus() if gpus else 0
    absent = [index for index in gpus if index >= available]
    if absent:
        raise UsageError(
            f"GPU {absent[0]} asked for, but MXNet sees {available}: leave the GPUs out to run on the CPU, or install "
            "mxnet-cu112 and a driver (a2net-gluon[cu112])"
        )
    return contexts
