"""Classification of image files with an exported network."""

from __future__ import annotations

import pathlib
from importlib.util import find_spec
from typing import Iterable, Iterator, NamedTuple

import mxnet as mx
import numpy as np
from scipy.special import softmax

from a2net_gluon.data.decoding import DecodeError
from a2net_gluon.data.folder import read_image
from a2net_gluon.deploy.forms import check_files, exported_files, load_form, written_forms
from a2net_gluon.deploy.inputs import graph_input
from a2net_gluon.devices import check_contexts
from a2net_gluon.errors import FailureError, UsageError, check_counts, reason_of
from a2net_gluon.files import AnyPath
from a2net_gluon.insight.memory import check_memory, inference_memory
from a2net_gluon.mxnet_fixes import read_symbol
from a2net_gluon.networks.description import Description

__all__ = ["Prediction", "Predictor"]


class Prediction(NamedTuple):
    """The most probable classes of an image with their probabilities, or the problem of an unreadable file."""

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
        If a file of the export is missing, the network takes clips, or the form does not run on `ctx`.
    FailureError
        If a file is damaged.
    """

    def __init__(self, prefix: AnyPath, form: str | None = None, ctx: mx.Context | None = None) -> None:
        self._ctx = ctx
        self.form = form or _fastest(prefix, ctx)
        if ctx:
            check_contexts(ctx)
        if ctx and ctx.device_type == "gpu" and self.form != "symbol":
            raise UsageError(f"the form {self.form} runs on the CPU; {ctx} needs the form symbol")
        check_files(prefix, self.form)
        self.description = Description.load(exported_files(prefix)[-1])
        frames = self.description.preprocessing.frames
        if frames:
            raise UsageError(f"{prefix} takes clips of {frames} frames; this classifies images")
        try:
            self._memory = self._estimate_memory(exported_files(prefix)[0])
            self._check_memory(1)
            self._forward = load_form(prefix, self.form, ctx)
            self._check()
        except (ModuleNotFoundError, UsageError):
            raise
        except Exception as error:  # on damaged files mxnet raises anything from KeyError to MXNetError
            raise FailureError(f"{prefix}: the export is damaged ({reason_of(error)}); export it again") from None

    def predict(self, paths: Iterable[AnyPath], top: int = 5, batch_size: int = 32) -> Iterator[Prediction]:
        """Yield a `Prediction` for each image file in `paths`, in their order.

        An unreadable file is yielded with its problem, and the files after it are classified all the same.

        Parameters
        ----------
        paths : iterable of str or Path
        top : int
            Number of classes in a prediction.
        batch_size : int
            Number of images computed at a time.

        Raises
        ------
        UsageError
            If `top` or `batch_size` is not a positive whole number, or a batch needs more memory than is free.
        """
        check_counts(top=top, batch_size=batch_size)
        paths = list(paths)
        self._check_memory(min(batch_size, len(paths)))
        for start in range(0, len(paths), batch_size):
            yield from self._predict_batch(paths[start : start + batch_size], top)

    def _estimate_memory(self, graph: pathlib.Path) -> tuple[int, int]:
        """The result of `inference_memory`; zeros if the graph is not there to tell it."""
        if not graph.is_file():
            return 0, 0
        size = self.description.preprocessing.size
        layout = (size, size, 3) if self.description.input == "pixels" else (3, size, size)
        symbol = read_symbol(graph)
        return inference_memory(lambda data: symbol, layout)

    def _check_memory(self, images: int) -> None:
        """Compare the memory for a batch of `images` with what is free."""
        parameters, image = self._memory
        if images:
            check_memory(parameters + images * image, [self._ctx or mx.cpu()])

    def _check(self) -> None:
        """Run one black image, to find files that do not belong together before any real image is read."""
        size, classes = self.description.preprocessing.size, len(self.description.classes)
        logits = self._forward(graph_input(np.zeros((1, size, size, 3), np.uint8), self.description))
        if logits.shape != (1, classes):
            raise ValueError(f"its description names {classes} classes, the graph has {logits.shape[-1]}")
        if not np.isfinite(logits).all():
            raise ValueError("its answers are not finite")

    def _predict_batch(self, paths: list[AnyPath], top: int) -> Iterator[Prediction]:
        crops: dict[AnyPath, np.ndarray] = {}
        problems: dict[AnyPath, str] = {}
        for path in paths:
            try:
                crops[path] = self.description.preprocessing.centre_crop(read_image(path))
            except DecodeError as error:
                problems[path] = str(error)
        probabilities = dict(zip(crops, self._probabilities(np.stack(list(crops.values()))))) if crops else {}
        for path in paths:
            if path in problems:
                yield Prediction(str(path), (), problems[path])
                continue
            order = np.argsort(-probabilities[path], kind="stable")[:top]
            names = self.description.classes
            yield Prediction(str(path), tuple((names[k], float(probabilities[path][k])) for k in order))

    def _probabilities(self, crops: np.ndarray) -> np.ndarray:
        return softmax(self._forward(graph_input(crops, self.description)), axis=1)


def _fastest(prefix: AnyPath, ctx: mx.Context | None) -> str:
    """Return the first form of the table, except "int8", that was exported and can be run here."""
    for form in written_forms(prefix):
        runs_here = form == "symbol" or (ctx is None and (form != "onnx" or find_spec("onnxruntime")))
        if runs_here and form != "int8":
            return form
    return "symbol"
