"""Metrics name themselves: with another meter, no other code has to know its names."""

import csv
import dataclasses
import json
import re

import mxnet as mx
import numpy as np
import pytest

import a2net_gluon as a2
from a2net_gluon import settings
from a2net_gluon.insight.curves import draw_curves
from a2net_gluon.settings import Training
from a2net_gluon.training import results as results_module
from a2net_gluon.training.learner import Learner
from a2net_gluon.training.metrics import ClassificationMeter, Column, best_epoch, in_words
from a2net_gluon.training.progress import Progress
from tests.helpers.images import make_digit_folder
from tests.helpers.processes import ROOT

CLASSES = 10


class ClassMeter:
    """Another meter: cross-entropy, and the mean over classes of each class's accuracy."""

    columns = (
        Column("mean_class_accuracy", "mean class accuracy", fraction=True),
        Column("worst_class_accuracy", "worst class", fraction=True),
        Column("cross_entropy", "cross-entropy", fraction=False),
    )
    headline = "mean_class_accuracy"

    def __init__(self, sums=(0,) * (2 * CLASSES + 1)):
        self._loss, *numbers = sums
        self._seen, self._right = np.array(numbers[:CLASSES]), np.array(numbers[CLASSES:])
        self.finite = True

    @property
    def count(self):
        return int(self._seen.sum())

    def add(self, logits, losses, labels, count):
        logits, losses, labels = (
            np.concatenate([part.asnumpy() for part in parts])[:count] for parts in (logits, losses, labels)
        )
        self._loss += float(losses.sum())
        np.add.at(self._seen, labels.astype(int), 1)
        np.add.at(self._right, labels.astype(int), logits.argmax(axis=1) == labels)

    def sums(self):
        return (self._loss, *map(float, self._seen), *map(float, self._right))

    @property
    def metrics(self):
        accuracies = self._right / np.maximum(self._seen, 1)
        return {
            "mean_class_accuracy": float(accuracies.mean()),
            "worst_class_accuracy": float(accuracies.min()),
            "cross_entropy": self._loss / max(self.count, 1),
        }


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return make_digit_folder(tmp_path_factory.mktemp("digits"), 16, 6)


@pytest.fixture
def training(images, tmp_path):
    return Training(
        data=settings.ImageFolder(images),
        network=settings.Network("resnet20_small"),
        input=settings.Input(size=8, crop_ratio=1.0),
        epochs=2,
        workers=1,
        optimization=settings.Optimization(lr=0.05, ema=0.9),
        schedule=settings.Schedule("plateau"),
        augmentation="none",
        save_dir=tmp_path / "run",
        run=settings.Run(log_interval=2, keep=9),
    )


@pytest.fixture
def panels(monkeypatch):
    """The panels of every picture of curves; only that of the second epoch is drawn, since that takes a second."""
    drawn = []

    def record(history, path, panels):
        drawn.append(panels)
        if len(history) == 2:
            draw_curves(history, path, panels)

    monkeypatch.setattr(results_module, "draw_curves", record)
    return drawn


def arrays(path):
    return {name: array.asnumpy() for name, array in mx.nd.load(str(path)).items()}


def test_a_run_with_another_meter(training, panels, monkeypatch, capfd):
    monkeypatch.setattr(Learner, "meter", ClassMeter)
    result = a2.train(training, verbose=True)
    said, names = capfd.readouterr().out, [column.name for column in ClassMeter.columns]
    # the history and its table
    for row in result.history:
        results = [f"{part}_{name}" for part in ("train", "val", "val_ema") for name in names]
        assert [key for key in row if key.startswith(("train_", "val_")) and not key.endswith("_count")] == results
        assert "top" not in "".join(row)
    table = list(csv.DictReader((result.folder / "metrics.csv").read_text().splitlines()))
    assert [[*row] for row in table] == [[*row] for row in result.history]
    # the best epoch, and its files
    values = [row["val_mean_class_accuracy"] for row in result.history]
    assert result.best == result.history[int(np.argmax(values))]
    for file, column, part in (("best", "val_", "net"), ("best-ema", "val_ema_", "ema")):
        best = int(np.argmax([row[f"{column}mean_class_accuracy"] for row in result.history])) + 1
        expected = arrays(result.folder / "checkpoints" / f"epoch-{best:04d}" / f"{part}.params")
        found = arrays(result.folder / f"{file}.params")
        assert all((found[name] == value).all() for name, value in expected.items())
    # the log
    assert f"best validation mean class accuracy {100 * max(values):.1f} % after epoch {result.best['epoch']}" in said
    last = result.history[-1]
    assert (
        f"epoch 2/2: training mean class accuracy {100 * last['train_mean_class_accuracy']:.1f} %, "
        f"worst class {100 * last['train_worst_class_accuracy']:.1f} %, "
        f"cross-entropy {last['train_cross_entropy']:.3f}; "
        f"validation mean class accuracy {100 * last['val_mean_class_accuracy']:.1f} %, worst class"
    ) in said
    assert f"averaged weights mean class accuracy {100 * last['val_ema_mean_class_accuracy']:.1f} %" in said
    assert re.search(
        r"epoch 1/2 batch 2/\d: mean class accuracy \d+\.\d %, cross-entropy \d\.\d{3}, \d+ images/s", said
    )
    # the curves
    assert (result.folder / "curves.png").read_bytes().startswith(b"\x89PNG")
    loss, accuracy, rate = panels[-1]
    assert loss.curves == {
        "train_cross_entropy": "training cross-entropy",
        "val_cross_entropy": "validation cross-entropy",
    }
    assert [*accuracy.curves] == [
        "train_mean_class_accuracy",
        "val_mean_class_accuracy",
        "train_worst_class_accuracy",
        "val_worst_class_accuracy",
    ]
    assert (loss.factor, accuracy.factor, [*rate.curves]) == (1, 100, ["learning_rate"])


def test_a_run_with_another_meter_is_resumed(training, monkeypatch):
    monkeypatch.setattr(Learner, "meter", ClassMeter)
    first = a2.train(dataclasses.replace(training, epochs=1))
    resumed = a2.train(dataclasses.replace(training, run=settings.Run(resume=True, keep=9)))
    assert resumed.history[:1] == first.history
    assert len(resumed.history) == 2
    state = json.loads((resumed.folder / "checkpoints" / "epoch-0002" / "state.json").read_text())
    assert state["history"] == resumed.history


def test_the_progress_of_an_epoch_keeps_the_sums_of_any_meter():
    progress = Progress(None, ClassMeter)
    logits = mx.nd.array(np.eye(CLASSES)[[0, 1, 1]])
    progress.meter.add([logits], [mx.nd.array([1, 2, 3])], [mx.nd.array([0, 1, 2])], 2)
    again = Progress(json.loads(json.dumps(progress.state())), ClassMeter)
    assert again.meter.sums() == progress.meter.sums()
    assert (
        again.meter.metrics
        == progress.meter.metrics
        == {
            "mean_class_accuracy": 0.2,
            "worst_class_accuracy": 0.0,
            "cross_entropy": 1.5,
        }
    )


def test_results_in_words():
    metrics = {"val_mean_class_accuracy": 0.1234, "val_worst_class_accuracy": 1.0, "val_cross_entropy": 2.0}
    words = in_words(ClassMeter.columns, metrics, "val_")
    assert words == "mean class accuracy 12.3 %, worst class 100.0 %, cross-entropy 2.000"
    assert in_words(ClassMeter.columns[2:], metrics, "val_", digits=1) == "cross-entropy 2.0"
    with pytest.raises(KeyError):
        in_words(ClassificationMeter.columns, metrics, "val_")


def test_the_best_epoch_is_the_first_of_the_highest():
    rows = [{"epoch": number, "score": score} for number, score in enumerate((0.1, 0.5, 0.5, 0.2), 1)]
    assert best_epoch(rows, "score")["epoch"] == 2
    assert best_epoch([{"epoch": 1}, *rows[3:]], "score")["epoch"] == 4  # a column can begin later
    assert best_epoch(rows, "other") is None
    assert best_epoch([], "score") is None


@pytest.mark.parametrize("meter", [ClassificationMeter, ClassMeter])
def test_a_meter_keeps_the_protocol(meter):
    made = meter()
    assert meter.headline in [column.name for column in meter.columns]
    assert next(column for column in meter.columns if column.name == meter.headline).fraction
    assert [*made.metrics] == [column.name for column in meter.columns]
    assert made.count == 0
    assert made.finite
    assert meter(made.sums()).metrics == made.metrics


def sources():
    for folder in ("a2net_gluon", "benchmarks", "symbols"):
        yield from sorted((ROOT / folder).rglob("*.py"))
    yield ROOT / "train_imagenet.py"


def test_no_other_file_knows_the_names_of_the_columns():
    """Nor puts them together: no name of a headline, with a prefix or without, stands outside of its meter."""
    assert len([*sources()]) > 80
    named = {
        path.relative_to(ROOT).as_posix()
        for path in sources()
        if re.search(r"top_?[15]\b|\b(train|val|val_ema)_(top|loss)", path.read_text(encoding="utf-8"))
    }
    assert named == {"a2net_gluon/training/metrics.py", "a2net_gluon/training/video_scores.py"}
