"""The commands as a user types them: results, messages, exit codes, and nothing half written."""

import json
import os
import pathlib
import re

import mxnet as mx
import pytest

from a2net_gluon import __version__, cli, deploy, get_model
from a2net_gluon.data import Preprocessing
from a2net_gluon.deploy import verification
from a2net_gluon.networks.description import Description
from a2net_gluon.options import commands
from tests.helpers.commands import SMALL, call, error
from tests.helpers.processes import ROOT

CAT = pathlib.Path(__file__).parent.parent / "docs" / "cat.jpg"


@pytest.fixture
def params(tmp_path):
    net = get_model(SMALL, classes=2)
    net.initialize()
    (tmp_path / "run").mkdir()
    net.save_parameters(str(tmp_path / "run" / "best.params"))
    Description(SMALL, ("cat", "dog"), Preprocessing(32, 0.6)).save(tmp_path / "run" / "model.json")
    return tmp_path / "run" / "best.params"


def test_version(capsys):
    assert call(capsys, "--version") == (0, f"a2net-gluon {__version__}\n", "")


def test_help_names_every_command(capsys):
    code, out, _ = call(capsys, "--help")
    assert code == 0
    assert all(command in out for command in cli.COMMANDS)
    assert call(capsys)[:2] == (0, out)


def test_forms_are_those_of_deploy():
    assert tuple(deploy.FORMS) == commands.FORMS


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_help_of_each_command(capsys, command):
    code, out, _ = call(capsys, command, "--help")
    assert code == 0
    assert out.startswith(f"usage: a2net {command}")


def test_cost(capsys):
    code, out, _ = call(capsys, "cost", "a2net_resnet50")
    assert code == 0
    assert "32,982,216" in out
    assert "6,538,174,464" in out
    blocks = ("--context", "nl", "--placement", "conv3:1,2+conv4:1,2")
    code, out, _ = call(capsys, "cost", "resnet26_3d", *blocks)
    assert out.startswith("resnet26_3d, context nl, placement conv3:1,2+conv4:1,2, input 3×16×112×112\n")
    assert "7,718,608" in out
    code, out, _ = call(capsys, "cost", "resnet26_3d", *blocks, "--json")
    assert json.loads(out)["options"] == {"context": "nl", "placement": {"conv3": [1, 2], "conv4": [1, 2]}}
    code, out, _ = call(capsys, "cost", "resnet50", "--json")
    assert json.loads(out)["params"] == 25_584_840
    code, out, _ = call(capsys, "cost", "a2net_resnet26_3d")
    assert "input 3×16×112×112" in out
    assert "7,312,080" in out
    code, out, _ = call(capsys, "cost", "resnet26_3d", "--frames", "8", "--input-size", "56", "--json")
    assert json.loads(out)["input_shape"] == [3, 8, 56, 56]


def test_evaluate_export_predict(capsys, params, image_folder, tmp_path):
    code, out, _ = call(capsys, "evaluate", SMALL, "--params", params, "--data-dir", image_folder, "-j", 1)
    assert code == 0
    assert "on 10 of 10 images" in out
    measured = out
    prefix = tmp_path / "export" / "pets"
    code, out, _ = call(capsys, "export", SMALL, "--params", params, "--output", prefix)
    assert code == 0
    assert re.search(r"Module: 32 images, largest relative difference \S+e-0\d, top-1 agreement 100.00 %", out)
    images = sorted((image_folder / "val").rglob("*.jpg"))[:3]
    code, out, _ = call(capsys, "predict", prefix, *images, "--json")
    assert code == 0
    assert {name for prediction in json.loads(out) for name, _ in prediction["classes"]} == {"cat", "dog"}
    exported = tmp_path / "export" / "pets-0000.params"
    (params.parent / "model.json").unlink()
    code, again, _ = call(capsys, "evaluate", SMALL, "--params", exported, "--data-dir", image_folder, "-j", 1)
    assert (code, again) == (0, measured)  # with the classes and the preprocessing of the export


def test_unreadable_image_is_named_skipped_and_counted(capsys, params, image_folder):
    bad = image_folder / "val" / "cat" / "3.jpg"
    bad.write_bytes(b"no image")
    code, out, _ = call(capsys, "evaluate", SMALL, "--params", params, "--data-dir", image_folder, "-j", 1)
    assert code == 0
    assert f"skipped {bad}: not an image OpenCV can decode" in out
    assert "1 unreadable images were skipped" in out
    assert "on 9 of 10 images" in out


def test_unreadable_images_of_an_export(capsys, params, image_folder, tmp_path, monkeypatch):
    """Those of --images and of --int8 are named and counted once, and the proofs count the others."""
    pytest.importorskip("onnxruntime", reason="ONNX Runtime is an extra")
    bad = image_folder / "val" / "cat" / "3.jpg"
    bad.write_bytes(b"no image")
    export = ("export", SMALL, "--params", params, "--output", tmp_path / "out" / "pets")
    code, out, _ = call(capsys, *export, "--images", image_folder / "val")
    assert code == 0
    assert out.splitlines()[:2] == [
        f"skipped {bad}: not an image OpenCV can decode",
        f"1 unreadable images were skipped: {bad}",
    ]
    assert "Module: 9 images, " in out
    good = [path for path in sorted(image_folder.rglob("*.jpg")) if path != bad]
    text = error(capsys, 2, *export, "--int8", *good[:19], bad)
    assert "19 images for calibration; give at least 20" in text
    monkeypatch.setattr(verification, "AGREEMENT", 0)  # the images are noise
    code, out, _ = call(capsys, *export, "--images", image_folder / "val", "--int8", image_folder)
    assert code == 0
    assert out.count(f"skipped {bad}: ") == 1
    assert "1 unreadable images were skipped" in out
    assert "Module: 9 images, " in out
    assert "int8: 10 images, " in out  # every other one of 21


def test_not_a_single_readable_image(capsys, params, image_folder, tmp_path):
    for path in image_folder.rglob("*.jpg"):
        path.write_bytes(b"no image")
    assert "not a single image could be read" in error(
        capsys, 1, "evaluate", SMALL, "--params", params, "--data-dir", image_folder, "-j", 1
    )
    export = ("export", SMALL, "--params", params, "--output", tmp_path / "new" / "pets", "--images", image_folder)
    assert "not an image OpenCV can decode; none of 22 files can be read: name others" in error(capsys, 1, *export)
    flags = ("--model", SMALL, "--data-dir", image_folder, "--batch-size", 4, "--save-dir", tmp_path / "new")
    assert "12 consecutive images cannot be read" in error(capsys, 1, *TRAIN, *flags)
    assert not (tmp_path / "new" / "best.params").exists()


def test_mxnet_is_not_installed(capsys, monkeypatch):
    def without_mxnet(arguments, prog):
        raise ModuleNotFoundError("No module named 'mxnet'", name="mxnet")

    monkeypatch.setitem(cli.COMMANDS, "cost", without_mxnet)
    assert "mxnet is not installed: pip install 'a2net-gluon[cpu]'" in error(capsys, 1, "cost", "resnet50")


def test_predict_with_an_unreadable_image(capsys, params, image_folder, tmp_path):
    prefix = tmp_path / "pets"
    call(capsys, "export", SMALL, "--params", params, "--output", prefix)
    good, bad = image_folder / "val" / "cat" / "0.jpg", tmp_path / "bad.png"
    bad.write_bytes(b"no image")
    code, out, err = call(capsys, "predict", prefix, good, bad)
    assert code == 1
    assert out.startswith(f"{good}: ")
    assert err == f"{bad}: not an image OpenCV can decode\n"
    assert "absent.png: no such file, folder or match" in error(capsys, 2, "predict", prefix, good, "absent.png")


TRAIN_VIDEO = ("train-video", "--model", "a2net_resnet20_small_3d", "--batch-size", "2")
TRAIN = ("train", "--num-epochs", "2", "--warmup-epochs", "0", "-j", "1")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("trian",), "unknown command 'trian'; there are: train"),
        (("train", "--num-epoch", "3"), "unrecognized arguments: --num-epoch"),
        (("tables", "one\n\x1b[2J"), r"unrecognized arguments: one\n\x1b[2J (see"),
        (("train", "--lr", "fast"), "'fast' is not a number from 1e-12 to 1e+30, or 0"),
        (("train", "--batch-size", "0"), "0 is not a whole number from 1 to 65536"),
        ((*TRAIN, "--model", "resnet51"), "unknown model 'resnet51'; did you mean 'resnet50'?"),
        ((*TRAIN, "--data-dir", "/absent"), "/absent: no such folder"),
        ((*TRAIN, "--data-dir", "/absent", "--benchmark"), "--data-dir and --benchmark both name the data"),
        ((*TRAIN, "--use-rec"), "--use-rec needs --rec-val FILE"),
        ((*TRAIN, "--rec-val", "/absent.rec"), "--use-rec needs --rec-train FILE"),
        ((*TRAIN, "--rec-val", "/absent.rec", "--rec-train", "/absent.rec"), "/absent.rec: no such record file"),
        ((*TRAIN, "--classes", "3"), "--classes is 3, the data have 10"),
        ((*TRAIN, "--crop-ratio", "1.5"), "--crop-ratio: 1.5 is not a number from 0.25 to 1"),
        ((*TRAIN, "--batch-size", "2000", "--input-size", "8"), "less than one batch of 2000"),
        ((*TRAIN, "--resume"), "--resume needs --save-dir"),
        ((*TRAIN, "--save-dir=--"), "argument --save-dir: expected one argument"),
        (("tables", "--markdown=--"), "argument --markdown: expected one argument"),
        ((*TRAIN, "--warmup-epochs", "2"), "the warm-up must be shorter than the run"),
        (("evaluate", SMALL), "one of the arguments --params --use-pretrained is required"),
        (("evaluate", "resnet50", "--use-pretrained"), "no published weights for resnet50"),
        (("export", SMALL, "--output", "x", "--images", "/absent"), "/absent: no such file, folder or match"),
        (("export", SMALL, "--output", "x", "--int8", "/absent*"), "/absent*: no such file, folder or match"),
        ((*TRAIN, "--pretrained-base", "/absent"), "/absent: no such parameter file"),
        ((*TRAIN, "--pretrained-base", "/absent", "--use-pretrained"), "both name the first weights"),
        (("evaluate", SMALL, "--params", "/absent.params"), "/absent.params: no such parameter file"),
        (("export", SMALL, "--params", "/absent.params", "--output", "x"), "/absent.params: no such parameter file"),
        (("predict", "/absent", ROOT / "docs" / "cat.jpg"), "/absent-symbol.json: no such file"),
        (("cost", "resnet51"), "unknown model 'resnet51'"),
        (("cost", "resnet50", "--frames", "8"), "--frames is 8, resnet50 takes images"),
        ((*TRAIN, "--model", "resnet26_3d"), "resnet26_3d takes clips, the data are images: give a2net_"),
        (("train-video", "--model", "resnet50", "--clip-length", "8"), "--clip-length is 8, resnet50 takes images"),
        ((*TRAIN_VIDEO, "--use-rec"), "--use-rec needs --rec-val FILE"),
        ((*TRAIN_VIDEO, "--use-rec", "--native-reader"), "unrecognized arguments: --native-reader"),
        ((*TRAIN_VIDEO, "--use-rec", "--data-dir", "x"), "--data-dir and --use-rec both name the data"),
        (("export", "resnet26_3d", "--images", CAT, "--output", "x"), "1 images are no clip of 16 frames: give more"),
        (
            ("attention", CAT, "--model", "resnet26_3d", "--output", "x"),
            "cat.jpg is an image, resnet26_3d takes videos",
        ),
    ],
)
def test_wrong_use(capsys, arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert message in error(capsys, 2, *arguments)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(mx.context.num_gpus() > 0, reason="this machine has a GPU")
@pytest.mark.parametrize("flags", [("--gpus", "0"), ("--num-gpus", "2")])
def test_gpu_without_one(capsys, flags, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "GPU 0 asked for, but MXNet sees 0" in error(capsys, 2, *TRAIN, *flags)
    assert list(tmp_path.iterdir()) == []


def test_wrong_class_count(capsys, params, tmp_path):
    (params.parent / "model.json").unlink()
    message = error(capsys, 2, "evaluate", SMALL, "--params", params)  # the digits have ten
    assert "trained for 2 classes, the data have 10" in message
    message = error(capsys, 2, "export", SMALL, "--params", params, "--classes", 3, "--output", tmp_path / "x" / "m")
    assert "trained for 2" in message
    assert not (tmp_path / "x").exists()


def test_truncated_params(capsys, params, tmp_path):
    params.write_bytes(params.read_bytes()[:5000])
    assert "truncated" in error(capsys, 1, "export", SMALL, "--params", params, "--output", tmp_path / "x" / "m")
    assert not (tmp_path / "x").exists()


def test_truncated_records(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.rec").write_bytes(b"\x0a\x23\xd7\xce\xff\x00\x00\x00 too short")
    (tmp_path / "a.idx").write_text("0\t0\n")
    message = error(capsys, 1, *TRAIN, "--rec-train", "a.rec", "--rec-val", "a.rec", "--model", SMALL)
    assert "a.rec: truncated" in message
    assert sorted(os.listdir(tmp_path)) == ["a.idx", "a.rec"]


def test_empty_class(capsys, image_folder, tmp_path, monkeypatch):
    (image_folder / "train" / "emu").mkdir()
    monkeypatch.chdir(tmp_path)
    message = error(capsys, 1, *TRAIN, "--data-dir", image_folder, "--model", SMALL, "--batch-size", 4)
    assert "class 'emu' has no image" in message
    assert not (tmp_path / "runs").exists()


def test_unwritable_output(capsys, params, tmp_path):
    (tmp_path / "file").write_text("in the way")
    assert "cannot write here" in error(capsys, 1, *TRAIN, "--save-dir", tmp_path / "file" / "run")
    assert "cannot write here" in error(
        capsys, 1, "export", SMALL, "--params", params, "--output", tmp_path / "file" / "m"
    )
    assert "cannot write here" in error(capsys, 1, "digits", tmp_path / "file" / "digits")


def test_existing_and_absent_runs(capsys, tmp_path):
    (tmp_path / "run.json").write_text("{}")
    assert "holds a run already: --resume continues it" in error(capsys, 2, *TRAIN, "--save-dir", tmp_path)
    absent = tmp_path / "absent"
    assert "holds no run to resume" in error(capsys, 2, *TRAIN, "--save-dir", absent, "--resume")
    assert "run.json is damaged" in error(capsys, 1, *TRAIN, "--save-dir", tmp_path, "--resume")


def test_interrupted(capsys, monkeypatch):
    def interrupted(arguments, prog):
        raise KeyboardInterrupt

    monkeypatch.setitem(cli.COMMANDS, "cost", interrupted)
    assert error(capsys, 130, "cost", "resnet50") == "a2net cost: interrupted\n"
