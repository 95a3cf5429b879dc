"""The devices that settings ask for, as contexts of MXNet."""

from __future__ import annotations

import os

import mxnet as mx

from a2net_gluon.environment import THREADS
from a2net_gluon.errors import UsageError
from a2net_gluon.networks.weights import check_contexts
from a2net_gluon.settings import Devices

__all__ = ["contexts_of"]


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
