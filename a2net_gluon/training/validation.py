"""The evaluation of a network on batches."""

from __future__ import annotations

import dataclasses
import typing

import mxnet as mx
from mxnet import gluon

from a2net_gluon.data.preprocessing import Preprocessing
from a2net_gluon.data.samples import Batch
from a2net_gluon.distributed.communicator import Communicator
from a2net_gluon.errors import FailureError
from a2net_gluon.settings import Kind
from a2net_gluon.training.batches import Contexts, check_labels, split
from a2net_gluon.training.metrics import ClassificationMeter, Meter

__all__ = ["Answer", "Measured", "answers", "check_count", "evaluate_batches"]


@dataclasses.dataclass(frozen=True)
class Measured:
    """The result of an evaluation: metrics by the names of their columns, and the number of samples."""

    metrics: dict[str, float]
    count: int


class Answer(typing.NamedTuple):
    """The answer of a network to a batch.

    Attributes
    ----------
    logits, labels : list of NDArray
        One for each device, of the type float32.
    batch : Batch
    """

    logits: list[mx.nd.NDArray]
    labels: list[mx.nd.NDArray]
    batch: Batch


def answers(
    net: gluon.Block,
    batches: typing.Iterable[Batch],
    contexts: Contexts,
    preprocessing: Preprocessing,
    classes: int,
    dtype: str = "float32",
) -> typing.Iterator[Answer]:
    """Yield what `net` says of each of `batches`.

    Raises
    ------
    UsageError
        If a label is not below `classes`.
    """
    for batch in batches:
        check_labels(batch.labels, classes)
        pixels, labels = (split(array, contexts) for array in (batch.pixels, batch.labels))
        logits = [net(preprocessing.normalize(part).astype(dtype)).astype("float32") for part in pixels]
        yield Answer(logits, labels, batch)


def evaluate_batches(
    net: gluon.Block,
    batches: typing.Iterable[Batch],
    contexts: Contexts,
    preprocessing: Preprocessing,
    classes: int,
    communicator: Communicator | None = None,
    dtype: str = "float32",
    meter: type[Meter] = ClassificationMeter,
) -> Measured:
    """Evaluate `net` on `batches`, every sample once; with a `communicator` over the samples of all processes."""
    loss, seen = gluon.loss.SoftmaxCrossEntropyLoss(), meter()
    for logits, labels, batch in answers(net, batches, contexts, preprocessing, classes, dtype):
        seen.add(logits, [loss(part, label) for part, label in zip(logits, labels)], labels, batch.count)
    total = meter((communicator or Communicator()).sum(seen.sums()))
    return Measured(total.metrics, int(total.count))


def check_count(count: int, kind: Kind) -> None:
    """Raise FailureError if no sample, of this kind of data, could be read at all."""
    if not count:
        noun = "video" if kind.videos else "image"
        raise FailureError(f"not a single {noun} could be read: see the lines above, and check the data")
