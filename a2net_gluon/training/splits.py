"""The three splits of UCF-101: a run or an evaluation of each, and the mean, as results on it are reported."""

from __future__ import annotations

import dataclasses
import pathlib
import statistics
import typing

from a2net_gluon.errors import UsageError
from a2net_gluon.settings import Evaluation, Training, Videos
from a2net_gluon.settings.data import UCF_SPLITS
from a2net_gluon.training.evaluation import EvaluationResult, evaluate
from a2net_gluon.training.learner import Learner
from a2net_gluon.training.metrics import Column, in_words
from a2net_gluon.training.run import Result, train

__all__ = ["evaluate_splits", "mean_in_words", "split_folder", "train_splits"]

_Settings = typing.TypeVar("_Settings", Training, Evaluation)


def train_splits(training: Training, **more: typing.Any) -> list[Result]:
    """Train on each split of UCF-101, in the folders ``split-1`` to ``split-3`` of the run folder.

    Parameters
    ----------
    training : settings.Training
        Its data are `settings.Videos` with ``ucf_split="all"``.
    more
        As for `a2net_gluon.train`.

    Raises
    ------
    UsageError
        If the run folder is not named; and what `a2net_gluon.train` raises.
    """
    if training.save_dir is None:
        raise UsageError("--ucf-split all needs --save-dir DIR: the three runs go into its folders split-1 to split-3")
    return [
        train(dataclasses.replace(one, save_dir=split_folder(training.save_dir, number)), **more)
        for number, one in _each(training)
    ]


def evaluate_splits(evaluation: Evaluation, **more: typing.Any) -> list[EvaluationResult]:
    """Evaluate the three networks of `train_splits`, each on the test list of its own split.

    Parameters
    ----------
    evaluation : settings.Evaluation
        Its data are `settings.Videos` with ``ucf_split="all"``; `params` is the run folder of `train_splits`.
    more
        As for `a2net_gluon.evaluate`.

    Raises
    ------
    UsageError
        If `params` is not a folder; and what `a2net_gluon.evaluate` raises.
    """
    if not (evaluation.params and pathlib.Path(evaluation.params).is_dir()):
        needed = "the run folder with split-1 to split-3"
        raise UsageError(f"--params is {evaluation.params}: --ucf-split all needs {needed}")
    return [
        evaluate(dataclasses.replace(one, params=split_folder(str(evaluation.params), number) / "best.params"), **more)
        for number, one in _each(evaluation)
    ]


def mean_in_words(results: typing.Sequence[Result | EvaluationResult]) -> str:
    """The means of all splits as a line: of the accuracies of their best epochs, or of their evaluations."""
    rows: list[typing.Mapping[str, float]] = []
    columns: typing.Sequence[Column] = Learner.meter.columns
    for result in results:
        if isinstance(result, Result):
            rows.append({name[len("val_") :]: value for name, value in (result.best or {}).items()})
        else:
            rows.append(result.metrics)
            columns = result.columns
    shown = [column for column in columns if column.fraction]
    means = {column.name: statistics.fmean(row[column.name] for row in rows) for column in shown}
    return f"mean of {len(rows)} splits: {in_words(shown, means)}"


def split_folder(folder: typing.Any, split: str) -> pathlib.Path:
    """Run folder of one split."""
    return pathlib.Path(folder) / f"split-{split}"


def _each(settings: _Settings) -> list[tuple[str, _Settings]]:
    """The settings for each split."""
    data = settings.data
    assert isinstance(data, Videos)  # callers look at ucf_split
    return [
        (split, dataclasses.replace(settings, data=dataclasses.replace(data, ucf_split=split))) for split in UCF_SPLITS
    ]
