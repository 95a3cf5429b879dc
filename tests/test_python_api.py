"""The front door for people who write Python: every step of the command line as a function on settings."""

import csv
import dataclasses
import importlib
import subprocess
import sys

import mxnet as mx
import numpy as np
import pytest

import a2net_gluon as a2
from a2net_gluon import settings
from a2net_gluon.insight.attention_report import Report
from a2net_gluon.training.preflight import Finding
from tests.helpers.commands import SMALL, call
from tests.helpers.images import make_digit_folder
from tests.helpers.processes import ROOT

EPOCHS = 2


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return make_digit_folder(tmp_path_factory.mktemp("digits"), 16, 6)


@pytest.fixture(scope="module")
def network():
    return settings.Network(SMALL)


@pytest.fixture(scope="module")
def training(images, network, tmp_path_factory):
    return settings.Training(
        data=settings.ImageFolder(images),
        network=network,
        input=settings.Input(size=8),
        epochs=EPOCHS,
        workers=1,
        augmentation="shift",
        optimization=settings.Optimization(lr=0.05),
        schedule=settings.Schedule("cosine"),
        seed=3,
        save_dir=tmp_path_factory.mktemp("run") / "quiet",
        run=settings.Run(log_interval=2),
    )


@pytest.fixture(scope="module")
def called():
    """The rows that `on_epoch` was called with in the run of `trained`."""
    return []


@pytest.fixture(scope="module")
def trained(training, called):
    """The result of the run of `training`."""
    return a2.train(training, on_epoch=lambda row: called.append(dict(row)))


@pytest.fixture(scope="module")
def best(trained):
    return trained.folder / "best.params"


def arrays(path):
    return {name: array.asnumpy() for name, array in mx.nd.load(str(path)).items()}


def test_training_returns_its_results(trained, training):
    history, best, folder = trained
    assert folder == training.save_dir or str(folder) == training.save_dir
    assert [row["epoch"] for row in history] == [1, 2]
    table = list(csv.DictReader((folder / "metrics.csv").read_text().splitlines()))
    assert table == [{name: str(value) for name, value in row.items()} for row in history]
    assert best == max(history, key=lambda row: row["val_top1"])
    assert (trained.history, trained.best, trained.folder) == (history, best, folder)
    assert "epoch 2/2: training loss" in (folder / "log.txt").read_text(encoding="utf-8")
    assert {"best.params", "model.json", "run.json", "curves.png", "log.txt"} <= {
        path.name for path in folder.iterdir()
    }


def test_on_epoch_is_called_with_each_row(trained, called):
    assert called == trained.history


def test_the_settings_of_the_caller_stay_as_they_are(training, trained):
    assert training.schedule.warmup_epochs is None
    assert training.run == settings.Run(log_interval=2)


def test_the_same_settings_on_the_command_line_give_the_same_bits(trained, images, tmp_path, capsys):
    """And the command prints."""
    words = ("--data-dir", images, "--model", SMALL, "--input-size", 8, "--num-epochs", EPOCHS, "-j", 1, "--seed", 3)
    words = (*words, "--augmentation", "shift", "--lr", 0.05, "--lr-mode", "cosine", "--log-interval", 2)
    code, said, problem = call(capsys, "train", *words, "--save-dir", tmp_path / "run")
    assert code == 0, problem
    assert "epoch 2/2: training loss" in said
    found, expected = arrays(tmp_path / "run" / "best.params"), arrays(trained.folder / "best.params")
    assert set(found) == set(expected)
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)


def test_training_prints_only_if_asked(training, tmp_path, capfd):
    """In a resumed run `history` holds the epochs before too; `on_epoch` gets those that are trained now."""
    first = dataclasses.replace(training, epochs=1, save_dir=tmp_path / "run")
    a2.train(first)
    assert capfd.readouterr() == ("", "")
    rows = []
    again = dataclasses.replace(first, epochs=EPOCHS, run=settings.Run(resume=True, log_interval=2))
    result = a2.train(again, on_epoch=rows.append, verbose=True)
    said = capfd.readouterr().out
    assert "--num-epochs is 2, was 1 when this run was last started" in said
    assert "resumed from" in said
    assert "epoch 2/2 batch 2/" in said
    assert [row["epoch"] for row in result.history] == [1, 2]
    assert rows == result.history[1:]
    assert result.best in result.history


def test_evaluation_measures_what_training_measured(trained, training, network, best, capfd):
    result = a2.evaluate(settings.Evaluation(data=training.data, network=network, params=best, workers=1))
    assert capfd.readouterr() == ("", "")
    assert (result.count, result.total) == (60, 60)
    assert result.problems.skipped == {}
    for name, value in result.metrics.items():
        assert value == pytest.approx(trained.best[f"val_{name}"], rel=1e-6)
    assert {f"val_{name}" for name in result.metrics} <= {*trained.best}
    assert len(result.metrics) == 3


def test_export_and_prediction(images, network, best, tmp_path, capfd):
    proofs = a2.export(settings.Export(network=network, params=best, output=tmp_path / "exported" / "digits"))
    assert set(proofs) == {"Module", "symbol"}
    assert all(proof.agreement == 1 for proof in proofs.values())
    predictor = a2.Predictor(tmp_path / "exported" / "digits")
    assert capfd.readouterr() == ("", "")
    assert predictor.description.classes == tuple("0123456789")
    paths = sorted((images / "val").rglob("*.png"))
    predictions = list(predictor.predict(paths, top=10))
    assert [prediction.path for prediction in predictions] == [str(path) for path in paths]
    right = [prediction.classes[0][0] == path.parent.name for prediction, path in zip(predictions, paths)]
    measured = a2.evaluate(settings.Evaluation(data=settings.ImageFolder(images), network=network, params=best))
    assert np.mean(right) == pytest.approx(measured.metrics["top1"])
    assert all(sum(value for _, value in prediction.classes) == pytest.approx(1) for prediction in predictions)


def test_attention_writes_files(images, best, tmp_path, capfd):
    image = next((images / "val" / "3").iterdir())
    damaged = tmp_path / "damaged.png"
    damaged.write_bytes(b"no image")
    options = settings.Attention(files=[image, damaged], output=tmp_path / "attention", params=best)
    reports = list(a2.attention(options))
    assert capfd.readouterr() == ("", "")
    assert [type(report) for report in reports] == [Report, Report]
    assert reports[0].problem is None
    assert reports[0].name in tuple("0123456789")
    assert {path.name for path in (tmp_path / "attention").iterdir()} == {f"{image.stem}.png", f"{image.stem}.npz"}
    assert all((ROOT / file).is_file() for file in reports[0].files)
    assert reports[1].problem
    assert not reports[1].files


def test_check_yields_findings(training, tmp_path, capfd):
    findings = list(a2.check(dataclasses.replace(training, save_dir=tmp_path / "new")))
    assert capfd.readouterr() == ("", "")
    assert {type(finding) for finding in findings} == {Finding}
    assert {finding.verdict for finding in findings} <= {"ok", "warn"}
    subjects = [finding.what for finding in findings]
    for subject in ("devices", "training data", "validation data", "schedule", "network", "memory", "disk"):
        assert subject in subjects
    assert not (tmp_path / "new").exists()
    missing = dataclasses.replace(training, data=settings.ImageFolder(tmp_path / "absent"), save_dir=tmp_path / "new")
    last = list(a2.check(missing))[-1]
    assert last.verdict == "FAIL"
    assert "absent" in last.text


def test_networks_and_costs(best):
    net = a2.get_model(SMALL, pretrained=best)
    assert net.classes == tuple("0123456789")
    assert a2.cost(net, (3, 8, 8)).params == sum(parameter.data().size for parameter in net.collect_params().values())
    assert SMALL in a2.list_models()


# Errors


def test_wrong_use_is_a_value_error(training, trained, network, tmp_path):
    assert issubclass(a2.UsageError, ValueError)
    absent = settings.Evaluation(data=training.data, network=network, params=tmp_path / "absent.params")
    for use, message in (
        (lambda: settings.Training(epochs=0), r"Training.epochs \(--num-epochs\) is 0; it must be a whole number"),
        (lambda: a2.evaluate(absent), "absent.params: no such parameter file"),
        (lambda: a2.train(training), "holds a run already"),
        (lambda: a2.Predictor(tmp_path / "absent"), "absent"),
        (lambda: a2.get_model("a2net_resnet51"), "a2net_resnet51"),
    ):
        with pytest.raises(ValueError, match=message) as error:
            use()
        assert isinstance(error.value, a2.UsageError)
        assert "\n" not in str(error.value)


def test_what_is_broken_is_a_failure(training, trained, network, best, tmp_path):
    (tmp_path / "broken.params").write_bytes(best.read_bytes()[:1000])
    broken = settings.Evaluation(data=training.data, network=network, params=tmp_path / "broken.params")
    with pytest.raises(a2.FailureError, match="broken.params: truncated") as error:
        a2.evaluate(broken)
    assert "\n" not in str(error.value)
    assert not isinstance(error.value, ValueError)


def test_a_wrong_argument_is_a_type_error_with_a_hint():
    with pytest.raises(TypeError, match="clases.*classes"):
        a2.get_model(SMALL, clases=10)
    with pytest.raises(TypeError, match="epoch"):
        settings.Training(epoch=3)


def test_an_interrupted_run_has_its_error():
    assert a2.InterruptedRunError("stopped", 15).exit_code == 143
    assert "InterruptedRunError" in a2.__all__


# The package itself


def test_every_public_name_is_there():
    for name in a2.__all__:
        assert getattr(a2, name) is not None
        assert name in dir(a2)
    assert importlib.import_module("a2net_gluon.settings") is a2.settings


def test_an_unknown_name_lists_those_there_are():
    with pytest.raises(AttributeError, match="has no attribute 'trian'.*Predictor.*train") as error:
        a2.trian  # noqa: B018
    assert all(name in str(error.value) for name in a2.__all__)


def run_python(script):
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_import_needs_no_mxnet():
    """Nor do settings; a machine without it can read a recipe or make settings."""
    hidden = "import sys; sys.modules['mxnet'] = None; import a2net_gluon as a2; "
    assert run_python(hidden + "print(a2.settings.Training(epochs=3).resolved().epochs)") == "3"
    assert "settings" in run_python(hidden + "print(dir(a2))")
    assert run_python("import a2net_gluon as a2, sys; a2.settings.Digits(); print('mxnet' in sys.modules)") == "False"


def test_submodules_are_not_hidden_by_functions():
    """`a2net_gluon.training` is a package whatever was used before, and `a2net_gluon.train` a function."""
    script = (
        "import a2net_gluon as a2; a2.train; a2.check; a2.attention; a2.export; a2.evaluate; a2.cost; import types; "
    )
    modules = "('blocks', 'data', 'deploy', 'insight', 'networks', 'settings', 'training')"
    functions = "('train', 'check', 'attention', 'export', 'evaluate', 'cost')"
    for names, kind in ((modules, "ModuleType"), (functions, "FunctionType")):
        script += f"print(all(isinstance(getattr(a2, name), types.{kind}) for name in {names})); "
    assert run_python(script).split() == ["True", "True"]
