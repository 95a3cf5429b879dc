"""Evaluation of trained networks on validation data."""

from __future__ import annotations

import contextlib
import dataclasses
import typing

from a2net_gluon.data import Problems
from a2net_gluon.devices import contexts_of
from a2net_gluon.errors import UsageError
from a2net_gluon.networks.trained import load_trained
from a2net_gluon.settings import Evaluation
from a2net_gluon.training.assembly import open_source
from a2net_gluon.training.validation import check_count, evaluate_batches

__all__ = ["EvaluationResult", "evaluate"]


@dataclasses.dataclass(frozen=True)
class EvaluationResult:
    """Accuracy of a network.

    Attributes
    ----------
    metrics : dict of str to float
        By the names of `a2net_gluon.training.metrics`; accuracies are from 0 to 1.
    count : int
        Samples that were evaluated.
    total : int
        Samples in the data.
    problems : Problems
        Samples that were skipped or enlarged.
    """

    metrics: dict[str, float]
    count: int
    total: int
    problems: Problems


def evaluate(evaluation: Evaluation, on_skip: typing.Callable[[str, str], object] | None = None) -> EvaluationResult:
    """Evaluate a trained network on validation data, every sample exactly once.

    Classes, blocks and preprocessing are those kept beside the parameter file, if training left any.

    Parameters
    ----------
    evaluation : settings.Evaluation
    on_skip : callable, optional
        Called with name and reason of each image that cannot be read.

    Raises
    ------
    UsageError
        If settings, parameters and data do not fit.
    FailureError
        If parameters or data are damaged.
    """
    evaluation = evaluation.resolved()
    contexts = contexts_of(evaluation.devices)
    net, description, classes_known = load_trained(evaluation, contexts, kind=evaluation.data.kind)
    trained = len(description.classes)
    known = description.classes if classes_known else None
    source = open_source(evaluation, description.preprocessing, len(contexts), known, on_skip)
    with contextlib.closing(source):
        if len(source.classes) != trained:
            name = evaluation.params or "the published network"
            raise UsageError(
                f"{name} was trained for {trained} classes, the data have {len(source.classes)}: name other data"
            )
        net.hybridize(static_alloc=True, static_shape=True)
        measured = evaluate_batches(net, source.validation(), contexts, description.preprocessing, trained)
        check_count(measured)
    return EvaluationResult(measured.metrics, measured.count, source.val_count, source.problems)
