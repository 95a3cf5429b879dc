import json
import sys

import mxnet as mx
import numpy as np
import pytest

from a2net_gluon import get_model, list_models
from a2net_gluon.data import Description, Preprocessing
from a2net_gluon.deploy import Predictor, export
from a2net_gluon.deploy.export import TOLERANCE, exported_files, load_module, load_symbol_block
from a2net_gluon.errors import FailureError, UsageError
from a2net_gluon.networks import input_shape

export_module = sys.modules["a2net_gluon.deploy.export"]  # the package's attribute of this name is the function


def describe(name, classes=7, size=None):
    size = size or min(64, input_shape(name)[-1])
    return Description(name, tuple(f"class {number}" for number in range(classes)), Preprocessing(size))


def make(name, classes=7):
    mx.random.seed(0)
    net = get_model(name, classes=classes)
    net.initialize(mx.init.MSRAPrelu())
    return net


@pytest.mark.parametrize("name", list_models())
def test_reloaded_exports_equal_the_live_network(name, tmp_path):
    net = make(name)
    differences = export(net, tmp_path / "model", describe(name))
    assert set(differences) == {"SymbolBlock", "Module"}
    assert max(differences.values()) <= TOLERANCE
    files = exported_files(tmp_path / "model")
    assert sorted(files) == sorted(tmp_path.iterdir())
    assert list(mx.sym.load(str(files[0])).list_outputs()) == ["fc_fwd_output"]
    for shape in ((1, 3, 64, 64), (3, 3, 48, 80)):  # other batches and sizes than the export was checked with
        x = mx.nd.random.normal(shape=shape)
        for load in (load_symbol_block, load_module):
            np.testing.assert_allclose(load(tmp_path / "model")(x).asnumpy(), net(x).asnumpy(), rtol=1e-3, atol=1e-4)


def test_a_wrong_copy_fails_and_leaves_nothing(tmp_path, monkeypatch):
    def load_something_else(prefix):
        return lambda x: load_module(prefix)(x) * 1.001

    monkeypatch.setattr(export_module, "load_module", load_something_else)
    with pytest.raises(FailureError, match="loaded with Module, the export differs by 0.001"):
        export(make("resnet20_small"), tmp_path / "model", describe("resnet20_small"))
    assert list(tmp_path.iterdir()) == []


def test_a_failed_export_keeps_the_old_one(tmp_path, monkeypatch):
    export(make("resnet20_small"), tmp_path / "model", describe("resnet20_small"))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    monkeypatch.setattr(export_module, "TOLERANCE", -1)
    with pytest.raises(FailureError):
        export(make("resnet20_small"), tmp_path / "model", describe("resnet20_small"))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_bad_outputs(tmp_path):
    net, description = make("resnet20_small"), describe("resnet20_small")
    with pytest.raises(UsageError, match="is a folder; --output is the start of file names"):
        export(net, tmp_path, description)
    (tmp_path / "file").write_text("")
    with pytest.raises(FailureError, match="file: cannot write here"):
        export(net, tmp_path / "file" / "model", description)
    with pytest.raises(UsageError, match="the network has 7 classes, its description 3"):
        export(net, tmp_path / "model", describe("resnet20_small", 3))


@pytest.fixture
def exported(tmp_path):
    net = make("a2net_resnet20_small")
    export(net, tmp_path / "out" / "model", describe("a2net_resnet20_small", size=32))
    return net, tmp_path / "out" / "model"


def test_predictions_are_the_networks(exported, image_folder):
    net, prefix = exported
    paths = sorted((image_folder / "val").rglob("*.jpg"))
    preprocessing = Preprocessing(32)
    crops = [preprocessing.centre_crop(mx.image.imread(str(path))) for path in paths]
    pixels = mx.nd.array(np.stack(crops).transpose(0, 3, 1, 2), dtype="uint8")
    expected = mx.nd.softmax(net(preprocessing.normalize(pixels))).asnumpy()
    for prediction, row in zip(Predictor(prefix).predict(paths, top=3, batch_size=4), expected):
        order = np.argsort(-row)[:3]
        assert [name for name, _ in prediction.classes] == [f"class {number}" for number in order]
        np.testing.assert_allclose([share for _, share in prediction.classes], row[order], rtol=1e-4, atol=1e-6)


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


@pytest.mark.parametrize("number", [0, 1, 2])
def test_missing_and_damaged_files(exported, number):
    path = exported_files(exported[1])[number]
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(FailureError, match="damaged|not a description"):
        Predictor(exported[1])
    path.unlink()
    with pytest.raises(UsageError, match=f"{path.name}: no such file"):
        Predictor(exported[1])


def test_description_beside_the_export_says_what_a_user_needs(exported):
    fields = json.loads(exported_files(exported[1])[2].read_text())
    assert fields["classes"][:2] == ["class 0", "class 1"]
    assert fields["preprocessing"] == {
        "size": 32,
        "crop_ratio": 0.875,
        "mean": [124.0, 117.0, 104.0],
        "scale": [0.0167] * 3,
    }
