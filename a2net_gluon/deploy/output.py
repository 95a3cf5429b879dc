"""Predictions as text: lines, CSV or JSON, with a progress bar on a terminal."""

import csv
import json
import sys

from tqdm import tqdm

__all__ = ["print_csv", "print_json", "print_lines", "with_progress"]


def with_progress(predictions, total):
    """Pass `predictions` on, with a bar on the standard error where that is a terminal and the results go elsewhere."""
    quiet = not sys.stderr.isatty() or sys.stdout.isatty()
    return tqdm(predictions, total=total, unit="image", disable=quiet)


def print_lines(predictions):
    """A line for each image; returns the exit code, 1 if one could not be read."""
    code = 0
    for prediction in predictions:
        if prediction.problem:
            code = _complain(prediction)
        else:
            best = ", ".join(f"{name} {100 * probability:.1f} %" for name, probability in prediction.classes)
            print(f"{prediction.path}: {best}")
    return code


def print_csv(predictions):
    """A row for each class of each image, and one for an image that could not be read; returns the exit code."""
    code, writer = 0, csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(("path", "rank", "class", "probability", "problem"))
    for prediction in predictions:
        for rank, (name, probability) in enumerate(prediction.classes, start=1):
            writer.writerow((prediction.path, rank, name, f"{probability:.6f}", ""))
        if prediction.problem:
            writer.writerow((prediction.path, "", "", "", prediction.problem))
            code = _complain(prediction)
    return code


def print_json(predictions):
    """A list with an object for each image; returns the exit code."""
    predictions = list(predictions)
    print(json.dumps([prediction._asdict() for prediction in predictions], indent=1, ensure_ascii=False))
    return max((_complain(prediction) for prediction in predictions if prediction.problem), default=0)


def _complain(prediction):
    print(f"{prediction.path}: {prediction.problem}", file=sys.stderr)
    return 1
