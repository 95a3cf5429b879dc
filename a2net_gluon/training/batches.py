"""Batches on their way to the devices."""

from __future__ import annotations

import typing

import mxnet as mx
from mxnet import gluon

from a2net_gluon.errors import UsageError

__all__ = ["Contexts", "check_labels", "split"]

Contexts = typing.Sequence[mx.Context]


def split(array: mx.nd.NDArray, contexts: Contexts) -> list[mx.nd.NDArray]:
    """Cut a batch into equal parts, one for each context."""
    return gluon.utils.split_and_load(array, list(contexts))


def check_labels(labels: mx.nd.NDArray, classes: int) -> None:
    """Raise UsageError where a label has no output: MXNet's loss would silently take the nearest class."""
    labels = labels.asnumpy()
    wrong = labels[(labels < 0) | (labels >= classes)]
    if wrong.size:
        raise UsageError(f"the data have label {int(wrong[0])}, the network has {classes} classes: set --classes")
