"""Answers of an exported network in multi-model-server, which imports this module; see `a2net_gluon.deploy.archive`."""

from __future__ import annotations

import functools
import pathlib
import tempfile
from typing import Any, Mapping, Sequence

from a2net_gluon.deploy.archive import PREFIX
from a2net_gluon.deploy.predict import Prediction, Predictor

__all__ = ["handle"]

TOP = 5  # classes in an answer
_NAMES = ("data", "body")  # of the bytes in a request: of a form's field, and of a body
_BAD_REQUEST = 400


def handle(requests: Sequence[Mapping[str, Any]] | None, context: Any) -> list[dict[str, Any]]:
    """Classify the image, or for a network for clips the video, in each request.

    Parameters
    ----------
    requests : list of dict, or None
        The bytes of a file each, under "data" or "body"; None when the server loads the network.
    context : mms.context.Context
        Its system properties name the folder of the unpacked archive.

    Returns
    -------
    list of dict
        For each request the most probable ``"classes"``, a list of ``{"class": …, "probability": …}``, or with status
        400 the ``"problem"``.
    """
    predictor = _load(context.system_properties["model_dir"])
    if requests is None:
        return []
    with tempfile.TemporaryDirectory() as folder:
        ending = "mp4" if predictor.description.preprocessing.frames else "jpg"  # files are decoded by their content
        paths = [pathlib.Path(folder, f"{number}.{ending}") for number in range(len(requests))]
        for path, request in zip(paths, requests):
            path.write_bytes(bytes(next((request[name] for name in _NAMES if name in request), b"")))
        predictions = list(predictor.predict(paths, TOP))
    return [_answer(prediction, number, context) for number, prediction in enumerate(predictions)]


@functools.lru_cache(maxsize=None)
def _load(folder: str) -> Predictor:
    return Predictor(pathlib.Path(folder, PREFIX))


def _answer(prediction: Prediction, number: int, context: Any) -> dict[str, Any]:
    if prediction.problem is None:
        return {"classes": [{"class": name, "probability": share} for name, share in prediction.classes]}
    context.set_response_status(_BAD_REQUEST, "not an image or a video", number)
    return {"problem": prediction.problem}
