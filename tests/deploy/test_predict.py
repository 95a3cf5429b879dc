import csv
import io
import json
import sys
from importlib.util import find_spec

import mxnet as mx
import numpy as np
import pytest

from a2net_gluon import get_model
from a2net_gluon.data import Preprocessing, find_images
from a2net_gluon.deploy import Predictor, export_network, load_form, load_module, prediction_output
from a2net_gluon.deploy.forms import exported_files
from a2net_gluon.errors import FailureError, UsageError
from a2net_gluon.networks.description import Description
from tests.helpers.commands import call, error

PREPROCESSING = Preprocessing(32)
EQUAL = ("onnx", "optimized", "symbol") if find_spec("onnxruntime") else ("optimized", "symbol")  # it is an extra


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A network and the prefix of its export in all equal forms."""
    mx.random.seed(0)
    net = get_model("a2net_resnet20_small", classes=7)
    net.initialize(mx.init.MSRAPrelu())
    prefix = tmp_path_factory.mktemp("out") / "model"
    description = Description("a2net_resnet20_small", tuple(f"class {number}" for number in range(7)), PREPROCESSING)
    export_network(net, prefix, description, EQUAL)
    return net, prefix


@pytest.fixture
def copied(exported, tmp_path):
    """The prefix of a copy of that export that a test may damage."""
    for path in exported_files(exported[1], EQUAL):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path / exported[1].name


@pytest.mark.parametrize("form", EQUAL)
def test_predictions_are_the_networks(exported, image_folder, form):
    net, prefix = exported
    paths = sorted((image_folder / "val").rglob("*.jpg"))
    crops = [PREPROCESSING.centre_crop(mx.image.imread(str(path)).asnumpy()) for path in paths]
    pixels = mx.nd.array(np.stack(crops).transpose(0, 3, 1, 2), dtype="uint8")
    expected = mx.nd.softmax(net(PREPROCESSING.normalize(pixels))).asnumpy()
    for prediction, row in zip(Predictor(prefix, form).predict(paths, top=3, batch_size=4), expected):
        order = np.argsort(-row)[:3]
        assert [name for name, _ in prediction.classes] == [f"class {number}" for number in order]
        np.testing.assert_allclose([share for _, share in prediction.classes], row[order], rtol=1e-4, atol=1e-6)


def test_the_form_that_is_taken(copied, monkeypatch):
    assert Predictor(copied).form == EQUAL[0]
    assert Predictor(copied, ctx=mx.cpu()).form == "symbol"  # the one that runs on any device
    monkeypatch.setitem(sys.modules, "onnxruntime", None)  # not installed
    assert Predictor(copied).form == "optimized"
    copied.with_name("model-optimized-symbol.json").unlink()
    assert Predictor(copied).form == "symbol"
    with pytest.raises(UsageError, match="model-int8.onnx: no such file; .* with the form int8"):
        Predictor(copied, "int8")


@pytest.mark.skipif(mx.context.num_gpus() > 0, reason="this machine has a GPU")
def test_gpu_without_one(copied):
    with pytest.raises(UsageError, match="GPU 0 asked for, but MXNet sees 0"):
        Predictor(copied, ctx=mx.gpu(0))


def test_a_map_that_mxnet_does_not_compute(copied, monkeypatch):
    description = json.loads(copied.with_name("model.json").read_text())
    description["preprocessing"]["size"] = 1024
    copied.with_name("model.json").write_text(json.dumps(description))
    monkeypatch.setattr("a2net_gluon.devices.available_memory", lambda: 10**12)
    monkeypatch.setattr("a2net_gluon.insight.memory.has_avx512", lambda: True)
    for form in ("symbol", "optimized"):
        with pytest.raises(UsageError, match="a 1×1 convolution of 64 filters on 1024×1024 would end the process"):
            Predictor(copied, form)


def test_files_that_do_not_belong_together(copied):
    description = json.loads(copied.with_name("model.json").read_text())
    others = {
        "6 classes, the graph has 7": {**description, "classes": description["classes"][:6]},
        "damaged": {**description, "input": "pixels"},
    }
    for message, fields in others.items():
        copied.with_name("model.json").write_text(json.dumps(fields))
        for form in EQUAL:
            with pytest.raises(FailureError, match=f"{message}.*export it again"):
                Predictor(copied, form)
    copied.with_name("model.json").write_text(json.dumps(description))
    arrays = mx.nd.load(f"{copied}-0000.params")
    arrays["arg:fc_bias"][:] = float("nan")
    mx.nd.save(f"{copied}-0000.params", arrays)
    with pytest.raises(FailureError, match="its answers are not finite"):
        Predictor(copied, "symbol")


@pytest.mark.parametrize(
    ("form", "change", "reason"),
    [
        ("symbol", {"op": "_Native", "attrs": {"info": "12345"}}, "the operator '_Native' of .* is not permitted"),
        ("optimized", {"op": "_NDArray", "attrs": {"info": "12345"}}, "the operator '_NDArray' of .* is not permitted"),
        ("symbol", {"inputs": []}, "has 0 inputs in place of"),
        ("symbol", {"attrs": {"kernel": "(3, 3)", "num_filter": "16", "num_group": "0"}}, "num_group of .* is '0'"),
    ],
)
def test_graphs_of_a_stranger(copied, form, change, reason):
    """MXNet 1.9.1 ends the process, or calls the address that stands in the graph."""
    path = exported_files(copied, [form])[0]
    graph = json.loads(path.read_text())
    next(node for node in graph["nodes"] if "onv" in node["op"]).update(change)
    path.write_text(json.dumps(graph))
    with pytest.raises(FailureError, match=f"the export is damaged .*{reason}"):
        Predictor(copied, form)
    with pytest.raises(FailureError, match=f"not a graph that may be run .*{reason}"):
        load_form(copied, form)
    if form == "symbol":
        with pytest.raises(FailureError, match=f"not a graph that may be run .*{reason}"):
            load_module(copied)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("mean", [float("nan"), 0.0, 0.0]),
        ("mean", [0.0, 0.0]),
        ("scale", [float("inf")] * 3),
        ("scale", [0.0] * 3),
        ("size", 3_000_000_000),
        ("size", 32.5),
        ("size", True),
        ("crop_ratio", 1e-300),
        ("crop_ratio", float("nan")),
    ],
)
def test_descriptions_of_a_stranger(copied, name, value):
    path = copied.with_name("model.json")
    description = json.loads(path.read_text())
    description["preprocessing"][name] = value
    path.write_text(json.dumps(description))
    with pytest.raises(FailureError, match=rf"model.json: not a description of a network \({name} is .*; it must be"):
        Predictor(copied, "symbol")


@pytest.mark.parametrize("form", EQUAL)
def test_memory_that_is_not_there(copied, image_folder, monkeypatch, form):
    paths, predictor = [image_folder / "val" / "cat" / "0.jpg"] * 40, Predictor(copied, form)
    monkeypatch.setattr("a2net_gluon.devices.available_memory", lambda: 3_000_000)
    assert next(predictor.predict(paths, batch_size=1)).problem is None
    with pytest.raises(UsageError, match=r"about 0.0 GB .* 0.0 GB are free: lower --batch-size or --input-size"):
        next(predictor.predict(paths, batch_size=10**6))
    for wrong in ({"batch_size": 0}, {"top": -1}):
        with pytest.raises(UsageError, match="must be a positive whole number"):
            next(predictor.predict(paths, **wrong))
    monkeypatch.setattr("a2net_gluon.devices.available_memory", lambda: 1_000_000)
    with pytest.raises(UsageError, match="0.0 GB are free"):
        Predictor(copied, form)


def test_an_unreadable_image_does_not_stop_the_others(exported, image_folder, tmp_path):
    good = image_folder / "val" / "cat" / "0.jpg"
    (tmp_path / "bad.jpg").write_bytes(b"no image")
    predictions = list(Predictor(exported[1]).predict([good, tmp_path / "bad.jpg", tmp_path / "absent.jpg", good]))
    assert [prediction.problem for prediction in predictions] == [
        None,
        "not an image OpenCV can decode",
        "No such file or directory",
        None,
    ]
    assert predictions[0] == predictions[3]


@pytest.mark.parametrize(
    ("form", "number"), [("symbol", 0), ("symbol", 1), ("symbol", 2), *((form, 0) for form in EQUAL[:-1])]
)
def test_missing_and_damaged_files(copied, form, number):
    path = exported_files(copied, [form])[number]
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(FailureError, match="damaged|not a description"):
        Predictor(copied, form)
    path.unlink()
    with pytest.raises(UsageError, match=f"{path.name}: no such file"):
        Predictor(copied, form)


@pytest.mark.parametrize("form", ["symbol", "optimized"])
def test_parameters_of_the_other_kind(exported, copied, form):
    exported[0].save_parameters(f"{copied}-0000.params")
    with pytest.raises(FailureError, match="model: the export is damaged .*; export it again"):
        Predictor(copied, form)


def test_files_folders_and_patterns_as_lines_json_and_csv(exported, image_folder, tmp_path, command, capsys):
    (tmp_path / "bad.jpg").write_bytes(b"no image")
    names = [image_folder / "val", f"{image_folder}/train/dog/*.jpg", tmp_path / "bad.jpg"]
    lines = command("predict", exported[1], *names, "--top", 2, "--batch-size", 5, code=1)
    assert len(lines.stdout.splitlines()) == 10 + 6
    assert lines.stdout.startswith(f"{image_folder}/val/cat/0.jpg: class ")
    assert lines.stderr == f"{tmp_path}/bad.jpg: not an image OpenCV can decode\n"
    code, out, _ = call(capsys, "predict", exported[1], *names, "--top", 2, "--json")
    assert code == 1
    listed = json.loads(out)
    assert [entry["problem"] is None for entry in listed] == [True] * 16 + [False]
    code, out, _ = call(capsys, "predict", exported[1], *names, "--top", 2, "--csv")
    assert code == 1
    rows = list(csv.DictReader(io.StringIO(out)))
    assert len(rows) == 16 * 2 + 1
    assert rows[0]["path"] == listed[0]["path"]
    assert [rows[0]["class"], float(rows[0]["probability"])] == [
        listed[0]["classes"][0][0],
        pytest.approx(listed[0]["classes"][0][1], abs=1e-6),
    ]
    assert rows[-1]["problem"] == "not an image OpenCV can decode"


def test_only_images_of_folders_and_patterns(image_folder, tmp_path):
    (tmp_path / "mixed" / "below.jpg").mkdir(parents=True)
    (tmp_path / "mixed" / "readme.txt").write_text("no image")
    image = tmp_path / "mixed" / "a.JPG"
    image.write_bytes((image_folder / "val" / "cat" / "0.jpg").read_bytes())
    assert find_images([tmp_path / "mixed", f"{tmp_path}/mixed/*"]) == [image, image]
    assert find_images([tmp_path / "mixed" / "readme.txt"]) == [tmp_path / "mixed" / "readme.txt"]  # named itself
    for name in ("~nobody-of-this-name/x.jpg", tmp_path / "mixed" / "below.jpg"):
        with pytest.raises(UsageError, match="no such file, folder or match|holds no image"):
            find_images([name])


@pytest.mark.parametrize(
    ("style", "out", "err", "bar"),
    [
        ("lines", False, True, True),
        ("json", True, True, True),
        ("csv", True, True, False),
        ("json", True, False, False),
    ],
)
def test_progress_bar_where_it_is_seen_and_crosses_nothing(monkeypatch, capsys, style, out, err, bar):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: out)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: err)
    assert list(prediction_output.with_progress(iter([1, 2]), 2, style)) == [1, 2]
    assert ("2/2" in capsys.readouterr().err) == bar


def test_nothing_to_predict(exported, tmp_path, capsys):
    text = error(capsys, 2, "predict", exported[1], tmp_path / "absent*.jpg")
    assert text == f"a2net predict: error: {tmp_path}/absent*.jpg: no such file, folder or match\n"
    text = error(capsys, 2, "predict", exported[1], tmp_path)
    assert text == f"a2net predict: error: {tmp_path}: holds no image\n"
