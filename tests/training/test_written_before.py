"""A run folder, a checkpoint and an export written by release 0.1.0 resume, evaluate and predict.

``written_by_0.1.tar.xz`` was made with the code of commit c002d73, in a fresh folder with that code, on two digits of
the validation data::

    export OMP_NUM_THREADS=1
    FLAGS="--num-epochs 3 --warmup-epochs 0 --batch-size 128 --input-size 8 --seed 5 -j 1 --model resnet20_small \
        --keep 1 --log-interval 2"
    python train_imagenet.py $FLAGS --save-dir uninterrupted
    python train_imagenet.py $FLAGS --save-dir run &
    while ! grep -q "epoch 2/3 batch 4/" run/log.txt; do sleep 0.02; done; kill -TERM $!; wait
    a2net export resnet20_small --params run/best.params --output export/digits
    a2net evaluate resnet20_small --params run/best.params > evaluate.txt
    a2net digits digits && mkdir images && cp digits/val/0/1516.png digits/val/6/1481.png images
    a2net predict export/digits --csv images/1516.png images/1481.png > predictions.csv
    rm run/curves.png run/checkpoints/epoch-0001/optimizer.params
    tar c run uninterrupted/metrics.csv export evaluate.txt images predictions.csv | xz -9e > written_by_0.1.tar.xz

To keep it small, the picture and the optimizer's state of an epoch that nothing resumes were left out (last line but
one). Nothing else was changed. Tolerances are for processors whose last bits differ.
"""

import csv
import json
import pathlib
import re
import shutil
import tarfile

import cv2
import mxnet as mx
import numpy as np
import pytest

import a2net_gluon as a2
from a2net_gluon import fields, options, settings
from a2net_gluon.settings.training import changed_options
from tests.helpers.commands import call

ARCHIVE = pathlib.Path(__file__).parent / "written_by_0.1.tar.xz"
MODEL = "resnet20_small"
FLAGS = ("--num-epochs", 3, "--warmup-epochs", 0, "--batch-size", 128, "--input-size", 8, "--seed", 5, "-j", 1)
FLAGS = (*FLAGS, "--model", MODEL, "--keep", 1, "--log-interval", 2)
ONE_IMAGE = 1 / 360


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory):
    folder = tmp_path_factory.mktemp("before")
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder)
    return folder


def table(path):
    """The rows of a CSV file."""
    return list(csv.DictReader(path.read_text().splitlines()))


def arguments_of(run):
    """What run.json tells about the first start of a run."""
    return json.loads((run / "run.json").read_text())["starts"][0]["arguments"]


def changes(unpacked, *flags):
    """The options that a resumption with more flags finds changed."""
    training = options.parse_training([str(flag) for flag in (*FLAGS, *flags)]).training.resolved()
    return changed_options(arguments_of(unpacked / "run"), fields.flat(training))


def test_no_path_of_the_machine_is_inside(unpacked):
    for path in unpacked.rglob("*"):
        if path.suffix in (".json", ".txt", ".csv"):
            assert not re.search(r"/(home|root|tmp|work)/", path.read_text()), path


@pytest.mark.slow
def test_a_stopped_run_resumes_at_that_batch(unpacked, tmp_path, capsys):
    run = tmp_path / "elsewhere"
    shutil.copytree(unpacked / "run", run)
    code, said, problem = call(capsys, "train", *FLAGS, "--save-dir", run, "--resume")
    assert code == 0, problem
    assert "epoch-0001-batch-000004 after 1 epochs and 4 batches" in said
    assert "epoch 2/3 batch 2/" not in said
    assert "epoch 2/3 batch 6/" in said
    assert "when this run was last started" not in said
    assert "begins anew" not in said
    before, now = table(unpacked / "uninterrupted" / "metrics.csv"), table(run / "metrics.csv")
    assert [*now[0]] == [*before[0]]
    assert now[0] == table(unpacked / "run" / "metrics.csv")[0]
    assert [row["epoch"] for row in now] == ["1", "2", "3"]
    for expected, found in zip(before, now):
        for name in ("val_count", "skipped_steps"):
            assert found[name] == expected[name]
        # Last bits depend on the processor and on the number of threads, and BN's early statistics enlarge them: seen
        # are 0.0007 for training and 0.012 for validation, and 0.03 to 0.6 where the optimizer's state is left out.
        for name, tolerance in {"train_loss": 5e-3, "val_loss": 5e-2}.items():
            assert float(found[name]) == pytest.approx(float(expected[name]), rel=tolerance)
        for name in ("train_top1", "train_top5", "val_top1", "val_top5"):
            assert float(found[name]) == pytest.approx(float(expected[name]), abs=4 * ONE_IMAGE)
        assert float(found["learning_rate"]) == pytest.approx(float(expected["learning_rate"]), abs=1e-12)
    assert [path.name for path in (run / "checkpoints").iterdir()] == ["epoch-0003"]
    starts = json.loads((run / "run.json").read_text())["starts"]
    assert [(start["epochs_done"], start["batches_done"]) for start in starts] == [(0, 0), (1, 4)]


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ((), {}),
        (("--save-dir", "elsewhere", "--resume", "--keep", 3, "-j", 2, "--log-interval", 5), {}),
        (("--lr", 0.04, "--mixup"), {"lr": (0.05, 0.04), "mixup": (False, True)}),
        (("--lr-decay-epoch", "1,2"), {"lr_decay_epoch": ([30, 60, 90], [1, 2])}),
        (("--placement", "conv4:2"), {"placement": (None, {"conv4": [2]})}),
        (
            ("--data-dir", "images", "--lr", 0.05, "--wd", 5e-4, "--lr-mode", "cosine", "--augmentation", "shift"),
            "data_dir",
        ),
    ],
)
def test_arguments_are_compared_with_those_stored_before(unpacked, flags, expected):
    found = changes(unpacked, *flags)
    assert found == ({"data_dir": (None, "images")} if expected == "data_dir" else expected)


def test_every_stored_argument_has_its_place(unpacked):
    """No option of the release before is dropped in silence: run.json of today has its name, or it is a command's."""
    today = {
        name
        for group in (settings.Training(), settings.ImageFolder("x"), settings.Records(), settings.Synthetic())
        for name in fields.flat(group)
    }
    of_commands = {"recipe", "use_rec", "benchmark", "evaluate", "test_io", "data_kind"}
    new = {"num_iterations", "lr_decay_iterations", "warmup_iterations", "no_bias_decay", "temporal_lr_mult"}
    new |= {"backbone_lr_mult", "precise_bn", "benchmark_batches", "clip_length", "frame_interval", "reader"}
    new |= {"init_by_name", "gathering", "distribution", "frame_order"}
    assert {*arguments_of(unpacked / "run")} - of_commands == today - new


def measured(text):
    """Percentages and loss in the output of ``a2net evaluate``, and the rest of it."""
    numbers = [float(number) for number in re.findall(r"\d+\.\d+", text)]
    return numbers, re.sub(r"\d+\.\d+", "…", text)


def test_evaluation_gives_what_it_gave(unpacked, capsys):
    params = unpacked / "run" / "best.params"
    code, said, problem = call(capsys, "evaluate", MODEL, "--params", params)
    assert code == 0, problem
    (top1, top5, loss), words = measured(said)
    expected, expected_words = measured((unpacked / "evaluate.txt").read_text())
    assert words == expected_words
    assert [top1, top5] == pytest.approx(expected[:2], abs=100 * ONE_IMAGE)
    assert loss == pytest.approx(expected[2], rel=1e-3)
    metrics = a2.evaluate(settings.Evaluation(network=settings.Network(MODEL), params=params)).metrics
    (row,) = table(unpacked / "run" / "metrics.csv")
    for name, value in metrics.items():
        assert value == pytest.approx(float(row[f"val_{name}"]), rel=1e-3, abs=ONE_IMAGE)


def expected_predictions(unpacked):
    """Classes and probabilities of each image as they were predicted, by the image's path."""
    found = {}
    for row in table(unpacked / "predictions.csv"):
        found.setdefault(row["path"], []).append((row["class"], float(row["probability"])))
    return found


def assert_same_predictions(found, expected):
    assert [name for name, _ in found] == [name for name, _ in expected]
    assert [value for _, value in found] == pytest.approx([value for _, value in expected], abs=1e-4)


def test_an_export_predicts_what_it_predicted(unpacked, monkeypatch, capsys):
    monkeypatch.chdir(unpacked)
    code, said, problem = call(capsys, "predict", "export/digits", "--csv", "images/1516.png", "images/1481.png")
    assert code == 0, problem
    header, *lines = said.splitlines()
    assert header == (unpacked / "predictions.csv").read_text().splitlines()[0]
    expected = expected_predictions(unpacked)
    assert [line.split(",")[0] for line in lines] == [path for path in expected for _ in range(5)]
    predictions = list(a2.Predictor("export/digits").predict(list(expected)))
    assert len(predictions) == 2
    for prediction in predictions:
        assert_same_predictions(prediction.classes, expected[prediction.path])


def test_parameters_load_by_their_path(unpacked):
    net = a2.get_model(MODEL, pretrained=unpacked / "run" / "best.params")
    assert net.classes == tuple("0123456789")
    for path, expected in expected_predictions(unpacked).items():
        pixels = cv2.cvtColor(cv2.imread(str(unpacked / path)), cv2.COLOR_BGR2RGB).astype(np.float32)
        data = (pixels - (124, 117, 104)) * 0.0167
        answer = mx.nd.softmax(net(mx.nd.array(data.transpose(2, 0, 1)[np.newaxis]))).asnumpy()[0]
        order = np.argsort(-answer)[:5]
        assert_same_predictions([(str(number), float(answer[number])) for number in order], expected)


def test_parameters_are_exported_again(unpacked, tmp_path, capsys):
    params = unpacked / "run" / "best.params"
    code, _, problem = call(capsys, "export", MODEL, "--params", params, "--output", tmp_path / "again")
    assert code == 0, problem
    expected = expected_predictions(unpacked)
    for prediction, path in zip(
        a2.Predictor(tmp_path / "again").predict([unpacked / path for path in expected]), expected
    ):
        assert_same_predictions(prediction.classes, expected[path])
