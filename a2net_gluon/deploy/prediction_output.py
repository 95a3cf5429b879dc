"""Output of predictions as lines, CSV or JSON, with a progress bar."""

from __future__ import annotations

import csv
import json
import sys
from typing import Callable, Iterable, Iterator

from tqdm import tqdm

from a2net_gluon.deploy.predict import Prediction
from a2net_gluon.terminal import printable, say

__all__ = ["print_predictions", "with_progress"]


def with_progress(
    predictions: Iterable[Prediction], total: int, style: str, unit: str = "image"
) -> Iterable[Prediction]:
    """Wrap `predictions` in a progress bar on the standard error.

    There is no bar if the standard error is not a terminal, or if printed predictions would interrupt it.
    """
    crossing = sys.stdout.isatty() and style != "json"
    return tqdm(predictions, total=total, unit=unit, disable=crossing or not sys.stderr.isatty())


def _print_lines(predictions: Iterable[Prediction]) -> Iterator[Prediction]:
    """Print a line for each readable file; yield the predictions of the others."""
    for prediction in predictions:
        if prediction.problem:
            yield prediction
        else:
            best = ", ".join(f"{name} {100 * probability:.1f} %" for name, probability in prediction.classes)
            say(f"{prediction.path}: {best}")


def _print_csv(predictions: Iterable[Prediction]) -> Iterator[Prediction]:
    """Print a row for each class of each file, and one for each unreadable image; yield the latter's predictions."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(("path", "rank", "class", "probability", "problem"))
    for prediction in predictions:
        for rank, (name, probability) in enumerate(prediction.classes, start=1):
            writer.writerow((printable(prediction.path), rank, printable(name), f"{probability:.6f}", ""))
        if prediction.problem:
            writer.writerow((printable(prediction.path), "", "", "", prediction.problem))
            yield prediction


def _print_json(predictions: Iterable[Prediction]) -> Iterator[Prediction]:
    """Print a list with an object for each file; yield the predictions of unreadable ones."""
    predictions = list(predictions)
    text = json.dumps([prediction._asdict() for prediction in predictions], indent=1, ensure_ascii=False)
    print(text.encode("utf-8", "backslashreplace").decode("utf-8"))  # bytes of a name that are not UTF-8 stay escaped
    yield from (prediction for prediction in predictions if prediction.problem)


_Printer = Callable[[Iterable[Prediction]], Iterator[Prediction]]  # yields the predictions with a problem
_STYLES: dict[str, _Printer] = {
    "lines": _print_lines,
    "csv": _print_csv,
    "json": _print_json,
}


def print_predictions(predictions: Iterable[Prediction], style: str) -> int:
    """Print `predictions` as "lines", "csv" or "json", and problems on the standard error.

    Returns
    -------
    int
        Exit code: 1 if there was a problem, otherwise 0.
    """
    code = 0
    for prediction in _STYLES[style](predictions):
        say(f"{prediction.path}: {prediction.problem}", sys.stderr)
        code = 1
    return code
