"""Steps of one block on a map, alone in its process: double attention in both associations, and the non-local block."""

import pathlib
import re

import mxnet as mx
from mxnet import autograd

from a2net_gluon.blocks import DoubleAttention, NonLocal
from a2net_gluon.insight.memory import training_memory
from benchmarks import worker

__all__ = ["steps"]

MARGIN = 1.5  # of free memory over the estimate


def steps(task):
    """Steps of a block, see `worker.serve`; the facts have the memory of the process before the first of them.

    That includes the input, the parameters and the arrays of the gradients. What is more at the peak is the block's.

    Raises
    ------
    MemoryError
        If the block is estimated to need more than two thirds of the free memory.
    """
    needed, free = _estimated_bytes(task), free_bytes()
    if free < MARGIN * needed:
        raise MemoryError(f"needs about {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free")
    _step_of({**task, "map": (2,) * len(task["map"])})()  # threads, libraries and kernels are no memory of the block
    step = _step_of(task)
    worker.give_memory_back()
    worker.reset_peak()
    before = worker.peak_bytes()
    run = lambda: [step() for _ in range(task["steps"])]  # noqa: E731
    run()
    return run, {"before_mb": before / 1e6}


def free_bytes():
    """Return the memory that can be allocated before anything is swapped out."""
    (available,) = re.findall(r"MemAvailable:\s*(\d+) kB", pathlib.Path("/proc/meminfo").read_text())
    return 1024 * int(available)


def _estimated_bytes(task):
    """Estimate every operator's output, and in training its gradient, at once: too much, where L² counts."""
    return training_memory(_new_block(task), _shape(task)) * (2 if task["mode"] == "training" else 1)


def _shape(task):
    return (1, task["channels"], *task["map"])


def _new_block(task):
    channels, width, ndim = task["channels"], task["width"], len(task["map"])
    if task["form"] == "nl":
        return NonLocal(channels, width, width, ndim=ndim)
    return DoubleAttention(channels, width, width, ndim=ndim, association=task["form"])


def _step_of(task):
    """Return a function that runs the block once, on its input."""
    mx.random.seed(0)
    block = _new_block(task)
    block.initialize(mx.init.MSRAPrelu())
    block.hybridize(static_alloc=True, static_shape=True)
    x, head = mx.nd.random.normal(shape=_shape(task)), mx.nd.ones(_shape(task))
    if task["mode"] == "training":
        x.attach_grad()  # as inside a network: the block computes the gradient of its input

    def infer():
        block(x)
        mx.nd.waitall()

    def train():
        with autograd.record():
            output = block(x)
        output.backward(head)
        mx.nd.waitall()

    mx.nd.waitall()
    return train if task["mode"] == "training" else infer
