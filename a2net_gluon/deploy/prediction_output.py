"""Predictions as text: lines, CSV or JSON, with a progress bar."""

import csv
import json
import sys

from tqdm import tqdm

__all__ = ["print_predictions", "with_progress"]


def with_progress(predictions, total, style):
    """Pass `predictions` on, with a bar on the standard error if that is a terminal and the results do not cross it."""
    crossing = sys.stdout.isatty() and style != "json"
    return tqdm(predictions, total=total, unit="image", disable=crossing or not sys.stderr.isatty())


def _print_lines(predictions):
    """A line for each image that could be read; yields the others."""
    for prediction in predictions:
        if prediction.problem:
            yield prediction
        else:
            best = ", ".join(f"{name} {100 * probability:.1f} %" for name, probability in prediction.classes)
            print(f"{prediction.path}: {best}")


def _print_csv(predictions):
    """A row for each class of each image, and one for an image that could not be read; yields the latter."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(("path", "rank", "class", "probability", "problem"))
    for prediction in predictions:
        for rank, (name, probability) in enumerate(prediction.classes, start=1):
            writer.writerow((prediction.path, rank, name, f"{probability:.6f}", ""))
        if prediction.problem:
            writer.writerow((prediction.path, "", "", "", prediction.problem))
            yield prediction


def _print_json(predictions):
    """A list with an object for each image; yields those that could not be read."""
    predictions = list(predictions)
    print(json.dumps([prediction._asdict() for prediction in predictions], indent=1, ensure_ascii=False))
    yield from (prediction for prediction in predictions if prediction.problem)


_STYLES = {"lines": _print_lines, "csv": _print_csv, "json": _print_json}


def print_predictions(predictions, style):
    """Print `predictions` as "lines", "csv" or "json", with problems on the standard error; returns the exit code."""
    code = 0
    for prediction in _STYLES[style](predictions):
        print(f"{prediction.path}: {prediction.problem}", file=sys.stderr)
        code = 1
    return code
