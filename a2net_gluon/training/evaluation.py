"""Evaluation of trained networks on validation data."""

from __future__ import annotations

import contextlib
import dataclasses
import typing

import mxnet as mx
import numpy as np

from a2net_gluon.data import Problems, Source, ViewSamples
from a2net_gluon.devices import check_contexts, contexts_of
from a2net_gluon.distributed.communicator import Communicator, make_communicator
from a2net_gluon.errors import UsageError
from a2net_gluon.insight.memory import check_inference
from a2net_gluon.networks.description import Description
from a2net_gluon.networks.trained import load_trained
from a2net_gluon.settings import Evaluation
from a2net_gluon.settings.network import FRAME_ORDERS
from a2net_gluon.training.metrics import ClassificationMeter, Column
from a2net_gluon.training.score_file import writing_scores
from a2net_gluon.training.sources import open_source
from a2net_gluon.training.validation import Answer, answers, check_count, evaluate_batches
from a2net_gluon.training.video_scores import VideoScores

__all__ = ["EvaluationResult", "evaluate"]

OnSkip = typing.Callable[[str, str], object]


@dataclasses.dataclass(frozen=True)
class EvaluationResult:
    """Accuracy of a network.

    Attributes
    ----------
    metrics : dict of str to float
        By the names of `columns`; accuracies are from 0 to 1.
    count : int
        Samples that were evaluated, of all processes: images, or videos with all their views.
    total : int
        Samples in the data.
    problems : Problems
        Samples that were skipped or enlarged, of this process.
    columns : tuple of Column
        The metrics, in the order in which they are shown.
    incomplete : int
        Videos of which some views could be read, but not all.
    views : tuple of int, optional
        Clips and crops of a video that make up its result; None for images.
    order : {"forward", "shuffled"}
        Of the frames of a clip.
    rank : int
        Number of the process; the first one, 0, shows the result.
    """

    metrics: dict[str, float]
    count: int
    total: int
    problems: Problems
    columns: tuple[Column, ...] = ClassificationMeter.columns
    incomplete: int = 0
    views: tuple[int, int] | None = None
    order: str = FRAME_ORDERS[0]
    rank: int = 0

    def samples_in_words(self, noun: str) -> str:
        """The evaluated samples, e.g. "358 of 360 images"; `noun` is the kind of samples other than videos."""
        if self.views is None:
            return f"{self.count:,} of {self.total:,} {noun}"
        left_out = {"unreadable": self.total - self.count - self.incomplete, "incomplete": self.incomplete}
        words = [f"{self.count:,} of {self.total:,} videos", *(f"{n:,} {word}" for word, n in left_out.items() if n)]
        order = [] if self.order == FRAME_ORDERS[0] else [f"frames {self.order}"]
        return ", ".join([*words, "{} × {} views of each".format(*self.views), *order])


def evaluate(evaluation: Evaluation, on_skip: OnSkip | None = None) -> EvaluationResult:
    """Evaluate a trained network on validation data, every sample exactly once.

    Classes, blocks and preprocessing are those kept beside the parameter file, if training left any. The result of a
    video is the mean of the probabilities of its views. The processes of a job share the samples, those of a video
    together, and each returns the result of all.

    Parameters
    ----------
    evaluation : settings.Evaluation
    on_skip : callable, optional
        Called with name and reason of each image or video that cannot be read, or not all of it.

    Raises
    ------
    UsageError
        If settings, parameters and data do not fit, or a batch needs more memory than is free.
    FailureError
        If parameters or data are damaged, or the scores cannot be written.
    """
    evaluation = evaluation.resolved()
    contexts = contexts_of(evaluation.devices)
    communicator = make_communicator(evaluation.kv_store, contexts)
    contexts = check_contexts(communicator.place(contexts))
    net, description, classes_known = load_trained(evaluation, contexts, kind=evaluation.data.kind)
    preprocessing, trained = description.preprocessing, len(description.classes)
    fix = "lower --batch-size or --input-size"
    check_inference(net, description.model, preprocessing, evaluation.batch_size, contexts, fix=fix)
    known = description.classes if classes_known else None
    source = open_source(evaluation, preprocessing, len(contexts), known, on_skip, communicator.shard)
    with contextlib.closing(source):
        _check_data(evaluation, description, source)
        net.hybridize(static_alloc=True, static_shape=True)
        samples = source.parts().get("validation")
        if isinstance(samples, ViewSamples):
            answered = answers(net, source.validation(), contexts, preprocessing, trained)
            return _measure_videos(evaluation, source, samples, answered, communicator, on_skip)
        measured = evaluate_batches(net, source.validation(), contexts, preprocessing, trained, communicator)
        check_count(measured.count, evaluation.data.kind)
    return EvaluationResult(measured.metrics, measured.count, source.val_count, source.problems, rank=communicator.rank)


def _check_data(evaluation: Evaluation, description: Description, source: Source) -> None:
    """Raise UsageError where the data are not those of the network, or it was trained on what is to test it."""
    name, trained = evaluation.params or "the published network", len(description.classes)
    if len(source.classes) != trained:
        raise UsageError(
            f"{name} was trained for {trained} classes, the data have {len(source.classes)}: name other data"
        )
    (dataset, _, before), (other, _, now) = (str(one).rpartition("/") for one in (description.trained_on, source.split))
    if dataset and dataset == other and before != now:
        raise UsageError(
            f"{name} was trained on {dataset} split {before}, these are the test videos of split {now}: it was trained "
            f"on some of them; evaluate it on split {before}"
        )


def _measure_videos(
    evaluation: Evaluation,
    source: Source,
    samples: ViewSamples,
    answered: typing.Iterable[Answer],
    communicator: Communicator,
    on_skip: OnSkip | None,
) -> EvaluationResult:
    with writing_scores(evaluation.scores, samples, source.classes, communicator) as write:
        scores = VideoScores(samples, len(source.classes), write, on_skip or (lambda name, reason: None))
        for logits, _, batch in _one_late(answered):
            scores.add(_rows(logits)[: batch.count], batch.numbers)
        sums = scores.sums()
        metrics, count, incomplete = VideoScores.results(communicator.sum(sums))
        check_count(count, evaluation.data.kind)
    grid, videos = samples.views, samples.videos
    return EvaluationResult(
        metrics,
        count,
        len(videos.names),
        source.problems,
        VideoScores.columns,
        incomplete,
        (grid.clips, grid.crops),
        videos.sampling.order,
        communicator.rank,
    )


def _rows(parts: typing.Sequence[mx.nd.NDArray]) -> np.ndarray:
    return np.concatenate([part.asnumpy() for part in parts])


_Item = typing.TypeVar("_Item")


def _one_late(items: typing.Iterable[_Item]) -> typing.Iterator[_Item]:
    """Yield each item after the next one was asked for: devices compute while the results before are read."""
    waiting: list[_Item] = []
    for item in items:
        waiting.append(item)
        if len(waiting) > 1:
            yield waiting.pop(0)
    yield from waiting
