"""Rows of the paper's Tables 2 and 3 in 2-D form, on small images, through flags alone."""

import json
import re

import numpy as np
import pytest

from a2net_gluon import cli, get_model
from a2net_gluon.data import digits
from a2net_gluon.networks import load_weights
from a2net_gluon.networks.description import Description
from a2net_gluon.settings.network import parse_placement

ROWS = [
    ("resnet20_small", "se", "conv4:2"),
    ("resnet26", None, None),
    ("resnet29", None, None),
    *(
        ("resnet26", kind, place)
        for kind in ("a2", "nl")
        for place in ("conv2:2", "conv3:2", "conv4:2", "conv4:1,2", "conv3:1,2+conv4:1,2")
    ),
]


@pytest.fixture
def call(tmp_path, capsys, monkeypatch):
    """Return a function that runs a command in this process, on 64 training and 32 validation digits."""
    images, labels = digits.load_digits()
    monkeypatch.setattr(digits, "load_digits", lambda: (images[:96], labels[:96]))
    monkeypatch.setattr(digits, "TRAIN_COUNT", 64)

    def run(*words, code=0):
        assert cli.main([str(word) for word in words]) == code
        said = capsys.readouterr()
        return said.err if code else said.out

    return run


def train(call, folder, model, *flags, code=0):
    short = ("--input-size", 16, "--batch-size", 32, "--num-epochs", 1, "-j", 1)
    return call("train", "--model", model, *short, "--save-dir", folder, *flags, code=code)


@pytest.mark.parametrize(("model", "kind", "place"), ROWS)
def test_every_row_trains(call, tmp_path, model, kind, place):
    flags = ("--context", kind, "--placement", place) if kind else ()
    train(call, tmp_path / "run", model, *flags)
    options = {"context": kind, "placement": parse_placement(place)} if kind else {}
    assert Description.load(tmp_path / "run" / "model.json").options == options
    net = get_model(model, classes=10, **options)
    load_weights(net, tmp_path / "run" / "best.params")
    names = [name for name in net._collect_params_with_prefix() if "context" in name]
    blocks = {re.match(r"features\.(conv\d)\.\D+(\d)", name).groups() for name in names}
    assert blocks == {(stage, str(unit)) for stage, units in options.get("placement", {}).items() for unit in units}
    for name, parameter in net._collect_params_with_prefix().items():
        assert np.isfinite(parameter.data().asnumpy()).all(), name
        if name.endswith("beta"):  # it starts at zero
            assert parameter.data().asnumpy().any(), name


def test_other_commands_find_the_blocks_of_a_run(call, tmp_path):
    run, export = tmp_path / "run", tmp_path / "export" / "model"
    said = train(call, run, "resnet20_small", "--context", "nl", "--placement", "conv4:2", "--reduction", 8)
    assert said.startswith("resnet20_small, context nl, placement conv4:2, reduction 8, ")
    params = ("resnet20_small", "--params", run / "best.params")
    measured = json.loads((run / "run.json").read_text())["starts"][-1]["arguments"]
    assert (measured["context"], measured["placement"], measured["reduction"]) == ("nl", {"conv4": [2]}, 8)
    assert "on 32 of 32 images" in call("evaluate", *params)
    call("export", *params, "--output", export)
    assert "conv4_x__2_context__scores" in (tmp_path / "export" / "model-symbol.json").read_text()
    fields = json.loads((tmp_path / "export" / "model.json").read_text())
    assert fields["options"] == {"context": "nl", "placement": {"conv4": [2]}, "reduction": 8}
    said = call("evaluate", *params, "--placement", "conv4:1", code=2)
    assert "does not hold this network" in said
    said = train(call, run, "resnet20_small", "--context", "a2", "--placement", "conv4:2", "--resume", code=2)
    assert "does not hold" in said
    flags = ("--teacher", run / "best.params")
    train(call, tmp_path / "student", "resnet20_small", *flags)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--context", "nl"), "needs a placement"),
        (("--placement", "conv4:2"), "needs a context"),
        (("--context", "no", "--placement", "conv4:2"), "unknown context 'no'; there are: a2, nl, se"),
        (("--context", "nl", "--placement", "conv9:2"), "stage 'conv9'; this network has conv2, conv3, conv4"),
        (("--context", "nl", "--placement", "conv4:3"), "unit 3 of conv4; its units are 1 to 2"),
        (("--context", "a2", "--placement", "conv4:2", "--reduction", 999), "at most"),
    ],
)
def test_bad_blocks(call, tmp_path, flags, message):
    assert message in train(call, tmp_path / "run", "resnet20_small", *flags, code=2)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["conv4", "conv4:", ":2", "conv4:2+conv4:1", "conv4:2+", "conv4:x", "conv4:0", ""])
def test_bad_placements(capsys, text):
    with pytest.raises(SystemExit) as stop:
        cli.main(["train", "--context", "nl", "--placement", text])
    assert stop.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1
