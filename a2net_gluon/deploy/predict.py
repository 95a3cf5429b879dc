"""Classification of image files and videos with an exported network."""

from __future__ import annotations

import dataclasses
import itertools
from importlib.util import find_spec
from typing import Iterable, Iterator, NamedTuple

import mxnet as mx
import numpy as np
from scipy.special import softmax

from a2net_gluon.data import Preprocessing, ViewGrid
from a2net_gluon.data.decoding import DecodeError
from a2net_gluon.data.file_views import FileViews, check_kind, views_of
from a2net_gluon.deploy.forms import check_files, exported_files, load_form, written_forms
from a2net_gluon.deploy.inputs import graph_input
from a2net_gluon.devices import check_contexts
from a2net_gluon.errors import FailureError, UsageError, check_counts, reason_of
from a2net_gluon.fields import with_defaults
from a2net_gluon.files import AnyPath
from a2net_gluon.insight.graph import Graph
from a2net_gluon.insight.memory import check_array_sizes, check_memory, inference_memory
from a2net_gluon.mxnet_fixes import read_symbol
from a2net_gluon.networks.description import Description
from a2net_gluon.networks.trained import preprocessing_of
from a2net_gluon.settings import Input, Views

__all__ = ["Prediction", "Predictor"]


class Prediction(NamedTuple):
    """The most probable classes of an image or a video with their probabilities, or why it cannot be read."""

    path: str
    classes: tuple[tuple[str, float], ...]
    problem: str | None = None


class Predictor:
    """An exported network with its classes and preprocessing.

    Parameters
    ----------
    prefix : str or Path
        As given to `a2net_gluon.deploy.export_network`.
    form : str, optional
        One of `FORMS`; default: the first of them that was exported and can be run here, except "int8".
    ctx : mxnet.Context, optional
        Default: the CPU. A GPU needs the form "symbol".

    Attributes
    ----------
    form : str
        The form in use.
    description : Description

    Raises
    ------
    UsageError
        If a file of the export is missing, or the form does not run on `ctx`.
    FailureError
        If a file is damaged.
    """

    def __init__(self, prefix: AnyPath, form: str | None = None, ctx: mx.Context | None = None) -> None:
        self._ctx, self._prefix = ctx, prefix
        self.form = form or _fastest(prefix, ctx)
        if ctx:
            check_contexts(ctx)
        if ctx and ctx.device_type == "gpu" and self.form != "symbol":
            raise UsageError(f"the form {self.form} runs on the CPU; {ctx} needs the form symbol")
        check_files(prefix, self.form)
        self.description = Description.load(exported_files(prefix)[-1])
        try:
            self._check_memory(self.description.preprocessing, 1)
            self._forward = load_form(prefix, self.form, ctx)
            self._check()
        except (ModuleNotFoundError, UsageError):
            raise
        except Exception as error:  # on damaged files mxnet raises anything from KeyError to MXNetError
            raise FailureError(f"{prefix}: the export is damaged ({reason_of(error)}); export it again") from None

    def predict(
        self,
        paths: Iterable[AnyPath],
        top: int = 5,
        batch_size: int = 32,
        views: Views = Views(),  # noqa: B008  (immutable)
    ) -> Iterator[Prediction]:
        """Yield a `Prediction` for each image file or video in `paths`, in their order.

        The probabilities of a video are the mean of those of its views, as in an evaluation. Views and images are
        computed in batches, whatever file they are of. An unreadable file is yielded with its problem, and the files
        after it are classified all the same.

        Parameters
        ----------
        paths : iterable of str or Path
            For a network for clips video files or folders of frames.
        top : int
            Number of classes in a prediction.
        batch_size : int
            Number of images, or of views of videos, computed at a time.
        views : settings.Views
            Of each video; random ones depend on the number of the video in `paths`.

        Raises
        ------
        UsageError
            If `top` or `batch_size` is not a positive whole number, a batch needs more memory than is free, a file is
            a video where the network takes images or the reverse, or views are asked for of images.
        """
        check_counts(top=top, batch_size=batch_size)
        paths, description, grid = list(paths), self.description, ViewGrid.of(views)
        if views.given and description.preprocessing.frames is None:
            raise UsageError(f"{views.given[0]} is for videos, {self._prefix} takes images: omit it")
        check_kind(paths, description.preprocessing, str(self._prefix))
        # A protocol of views can have an input of its own.
        given = with_defaults(Input(), views.defaults)
        preprocessing = preprocessing_of(given, description.model, description.preprocessing)
        self._check_memory(preprocessing, min(batch_size, len(paths) * grid.clips * grid.crops))
        answers = self._answers(len(paths), views_of(paths, preprocessing, grid), batch_size)
        for number, of_file in itertools.groupby(answers, key=lambda answer: answer.file):
            yield self._prediction(str(paths[number]), [*of_file], top)

    def _answers(self, files: int, views: FileViews, batch_size: int) -> Iterator[_Answer]:
        """Yield the logits of each view of each file; a file that cannot be read ends with its problem."""
        samples = _samples(files, views)
        while True:
            part = [*itertools.islice(samples, batch_size)]
            if not part:
                return
            crops = [sample.crop for sample in part if sample.crop is not None]
            logits = iter(self._forward(graph_input(np.stack(crops), self.description)) if crops else ())
            for sample in part:
                yield _Answer(sample.file, None if sample.crop is None else next(logits), sample.problem)

    def _prediction(self, path: str, answers: list[_Answer], top: int) -> Prediction:
        problem = answers[-1].problem
        if problem:
            return Prediction(path, (), problem)
        logits = np.stack([answer.logits for answer in answers if answer.logits is not None]).astype(np.float64)
        probabilities = softmax(logits, axis=1).mean(axis=0)
        order = np.argsort(-probabilities, kind="stable")[:top]
        return Prediction(path, tuple((self.description.classes[k], float(probabilities[k])) for k in order))

    def _check_memory(self, preprocessing: Preprocessing, count: int) -> None:
        """Compare the memory for a batch of `count` samples with what is free, if the graph is there to tell it."""
        path = exported_files(self._prefix)[0]
        if count and path.is_file():
            shape = dataclasses.replace(self.description, preprocessing=preprocessing).input_shape
            symbol, contexts = read_symbol(path), [self._ctx or mx.cpu()]
            graph = Graph(lambda data: symbol, shape)
            parameters, sample = inference_memory(graph)
            check_memory(parameters + count * sample, contexts)
            if self.form in ("symbol", "optimized"):  # the others do not run in MXNet
                check_array_sizes(graph, count, contexts)

    def _check(self) -> None:
        """Run a black sample, to find files that do not belong together before any real one is read."""
        classes, (channels, *locations) = len(self.description.classes), self.description.preprocessing.input_shape
        logits = self._forward(graph_input(np.zeros((1, *locations, channels), np.uint8), self.description))
        if logits.shape != (1, classes):
            raise ValueError(f"its description names {classes} classes, the graph has {logits.shape[-1]}")
        if not np.isfinite(logits).all():
            raise ValueError("its answers are not finite")


class _Sample(NamedTuple):
    """A view of a file, or the problem of a file whose next view cannot be read."""

    file: int
    crop: np.ndarray | None
    problem: str | None = None


class _Answer(NamedTuple):
    """The logits of a view, or the problem of its file."""

    file: int
    logits: np.ndarray | None
    problem: str | None


def _samples(files: int, views: FileViews) -> Iterator[_Sample]:
    for number in range(files):
        try:
            for crop in views.views(number):
                yield _Sample(number, crop)
        except DecodeError as error:
            yield _Sample(number, None, str(error))


def _fastest(prefix: AnyPath, ctx: mx.Context | None) -> str:
    """Return the first form of the table, except "int8", that was exported and can be run here."""
    for form in written_forms(prefix):
        runs_here = form == "symbol" or (ctx is None and (form != "onnx" or find_spec("onnxruntime")))
        if runs_here and form != "int8":
            return form
    return "symbol"
