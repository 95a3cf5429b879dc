"""Parameters of one's own under ``pretrained=True``: in Python, in commands, in GluonCV's zoo, as a teacher."""

import hashlib
import json

import mxnet as mx
import numpy as np
import pytest

from a2net_gluon import get_model, register_weights, register_with_gluoncv
from a2net_gluon.data import Preprocessing
from a2net_gluon.errors import FailureError, UsageError
from a2net_gluon.networks import published
from a2net_gluon.networks.description import Description
from a2net_gluon.training.teacher import load_teacher
from tests.helpers.commands import call, error

NAME = "resnet20_small"
CLASSES = ("ant", "bee", "cow")


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A parameter file, with its description, and the network in it."""
    net = get_model(NAME, classes=len(CLASSES))
    net.initialize(mx.init.MSRAPrelu())
    folder = tmp_path_factory.mktemp("own")
    net.save_parameters(str(folder / "best.params"))
    Description(NAME, CLASSES, Preprocessing(32)).save(folder / "model.json")
    return folder / "best.params", net


@pytest.fixture
def sha1(own):
    return hashlib.sha1(own[0].read_bytes()).hexdigest()


@pytest.fixture(autouse=True)
def no_server(monkeypatch):
    monkeypatch.delenv("MXNET_GLUON_REPO", raising=False)


def same(net, other):
    x = mx.nd.random.normal(shape=(1, 3, 32, 32))
    np.testing.assert_array_equal(net(x).asnumpy(), other(x).asnumpy())
    return True


def test_a_registered_file(own, sha1):
    path, net = own
    with pytest.raises(UsageError, match=f"no published weights for {NAME}, only .*register it: docs/pretrained.md"):
        get_model(NAME, pretrained=True)
    register_weights(NAME, sha1, path)
    loaded = get_model(NAME, pretrained=True)
    assert same(loaded, net)
    assert loaded.classes == CLASSES


def test_a_registered_file_in_the_store(own, sha1, tmp_path):
    path, net = own
    register_weights(NAME, sha1)
    with pytest.raises(UsageError, match=f"{NAME}-{sha1[:8]}.params: no such file"):
        get_model(NAME, pretrained=True, root=str(tmp_path))
    (tmp_path / f"{NAME}-{sha1[:8]}.params").write_bytes(path.read_bytes())
    assert same(get_model(NAME, pretrained=True, root=str(tmp_path)), net)


def test_another_file_is_not_loaded(own, tmp_path):
    register_weights(NAME, "0" * 40, own[0])
    with pytest.raises(FailureError, match=f"best.params: its SHA-1 is not 0000.*, as registered for {NAME}"):
        get_model(NAME, pretrained=True)
    register_weights(NAME, "0" * 40, tmp_path / "absent")
    with pytest.raises(UsageError, match=f"absent: no such file; it is registered as the parameters of {NAME}"):
        get_model(NAME, pretrained=True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("resnet21", "0" * 40), "resnet21"),
        ((NAME, "0" * 39), "the SHA-1 of the parameters of resnet20_small is '000.*'; it must be 40 digits"),
        (
            (NAME, "0" * 40, "http://me:s3cret@my@there"),
            "the source of the parameters of resnet20_small is not an",
        ),
    ],
)
def test_what_cannot_be_registered(arguments, message):
    with pytest.raises(UsageError, match=message) as raised:
        register_weights(*arguments)
    assert "s3cret" not in str(raised.value)


def test_commands_read_a_file(own, sha1, tmp_path, capsys, monkeypatch):
    entry = {"sha1": sha1, "source": "best.params", "what": "three animals"}
    listed = own[0].with_name("weights.json")
    listed.write_text(json.dumps({NAME: entry}))
    monkeypatch.setenv("A2NET_WEIGHTS", str(listed))
    code, _, said = call(capsys, "export", NAME, "--use-pretrained", "--output", tmp_path / "net")
    assert code == 0, said
    assert Description.load(tmp_path / "net.json").classes == CLASSES
    line = error(capsys, 2, "export", "resnet50", "--use-pretrained", "--output", tmp_path / "x")
    assert f"; {NAME} (three animals)" in line


@pytest.mark.parametrize("text", ["", "[1]", '{"resnet20_small": 1}', '{"resnet20_small": {"source": "x"}}', "{"])
def test_a_bad_file(text, tmp_path, capsys, monkeypatch):
    (tmp_path / "weights.json").write_text(text)
    monkeypatch.setenv("A2NET_WEIGHTS", str(tmp_path / "weights.json"))
    line = error(capsys, 1, "export", NAME, "--use-pretrained", "--output", tmp_path / "x")
    assert "weights.json (A2NET_WEIGHTS): " in line
    assert '; it must hold {"NETWORK": {"sha1": "…", "source": "FILE"}}' in line


def test_gluoncv_and_this_package_know_the_same(own, sha1, tmp_path, monkeypatch):
    model_store = pytest.importorskip("gluoncv.model_zoo.model_store")
    from gluoncv.model_zoo import get_model as get_gluoncv_model

    path, net = own
    monkeypatch.setattr(model_store, "_model_sha1", dict(model_store._model_sha1))
    register_weights(NAME, sha1, path)
    register_with_gluoncv()
    assert model_store._model_sha1[NAME] == sha1
    assert same(get_gluoncv_model(NAME, pretrained=True), net)
    # The other way round: as GluonCV's users add theirs.
    monkeypatch.setattr(published, "_registered", {})
    (tmp_path / f"{NAME}-{model_store.short_hash(NAME)}.params").write_bytes(path.read_bytes())
    assert same(get_model(NAME, pretrained=True, root=str(tmp_path)), net)


def test_a_registered_network_is_a_teacher(own, sha1):
    path, net = own
    register_weights(NAME, sha1, path)
    description = Description("resnet50", CLASSES, Preprocessing(32))
    assert same(load_teacher(NAME, [mx.cpu()], description).net, net)
    with pytest.raises(UsageError, match=f"--teacher {NAME} knows 3 classes .ant first., the data have 2 .ant first."):
        load_teacher(NAME, [mx.cpu()], Description("resnet50", CLASSES[:2], Preprocessing(32)))


def test_a_teacher_of_gluoncv_with_another_head_is_refused(own, monkeypatch):
    model_zoo = pytest.importorskip("gluoncv.model_zoo.model_zoo")
    monkeypatch.setitem(model_zoo._models, "three_animals", lambda **kwargs: own[1])
    for classes in (CLASSES[:2], (*CLASSES, "dog")):
        with pytest.raises(
            UsageError, match=f"--teacher three_animals has 3 outputs, the data have {len(classes)} classes: name"
        ):
            load_teacher("three_animals", [mx.cpu()], Description("resnet50", classes, Preprocessing(32)))
    description = Description("resnet50", CLASSES, Preprocessing(32))
    assert load_teacher("three_animals", [mx.cpu()], description).net is own[1]
