"""PyTorch computes the same with what an export writes, and what it trains comes back: every registered network."""

import subprocess

import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd
from mxnet.gluon.loss import SoftmaxCrossEntropyLoss

import a2net_gluon as a2
from a2net_gluon import settings
from a2net_gluon.data import Preprocessing
from a2net_gluon.deploy.torch_files import write_torch
from a2net_gluon.mxnet_fixes import named_parameters, wait_for_running_statistics
from a2net_gluon.networks import Description, input_shape, load_weights
from a2net_gluon.networks.torch_weights import torch_name
from benchmarks.runner import peers_python
from tests.helpers.processes import ROOT
from tests.helpers.weights import QUICK

CLASSES = 3
pytestmark = [
    pytest.mark.peers,
    pytest.mark.skipif(not peers_python().is_file(), reason="make peers installs PyTorch, which is not there"),
]


@pytest.fixture(scope="module")
def torch_side():
    """Return a function that lets PyTorch answer for a folder: for what was exported, and for what it has trained."""
    command = [str(peers_python()), str(ROOT / "tests" / "helpers" / "torch_side.py")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:

        def answer(folder):
            process.stdin.write(f"{folder}\n")
            process.stdin.flush()
            assert process.stdout.readline() == "done\n"
            return [dict(np.load(folder / f"{name}.npz")) for name in ("net", "trained")]

        yield answer
        process.stdin.close()


def make(name):
    """A network no parameter of which has a trivial value.

    BN's factors are below 1: where activations grow from unit to unit, each softmax of attention is all but a maximum,
    and single precision alone changes logits by 1e-4, in both frameworks.
    """
    net = a2.get_model(name, classes=CLASSES)
    mx.random.seed(0)
    net.initialize(QUICK)
    for key, parameter in net.collect_params().items():
        if key.endswith("gamma"):
            parameter.set_data(mx.nd.random.uniform(0.4, 0.8, parameter.shape))
        elif key.endswith("var"):
            parameter.set_data(mx.nd.random.uniform(0.5, 1.5, parameter.shape))
        elif key.endswith(("beta", "mean", "bias")):
            parameter.set_data(mx.nd.random.uniform(-0.5, 0.5, parameter.shape))
    return net


def compute(net, x, labels):
    """What PyTorch computes too, see tests/helpers/torch_side.py."""
    found = {"logits32": net(mx.nd.array(x)).asnumpy()}
    net.cast("float64")
    x = mx.nd.array(x, dtype="float64")
    found["logits"] = net(x).asnumpy()
    with autograd.record():
        loss = SoftmaxCrossEntropyLoss()(net(x), mx.nd.array(labels)).mean()
    loss.backward()
    wait_for_running_statistics()
    found["loss"] = loss.asnumpy()
    for name, parameter in named_parameters(net).items():
        kind, value = ("statistic", parameter.data()) if "running" in name else ("gradient", parameter.grad())
        found[f"{kind}/{torch_name(name)}"] = value.asnumpy()
    return found


def check_equal(ours, theirs):
    """Compare what both compute in double precision, each array relative to its largest value.

    Some gradients are zero but for rounding, that of a shift before a BN: they are compared with the largest of all.
    PyTorch's running variance has another divisor, and MXNet computes running statistics in single precision.
    """
    assert set(ours) == set(theirs)
    steepest = max(np.abs(values).max() for key, values in ours.items() if key.startswith("gradient"))
    for key, expected in ours.items():
        if key == "logits32" or key.endswith("running_var"):
            continue
        largest = max(np.abs(expected).max(), 1e-3 * steepest if key.startswith("gradient") else 0)
        assert np.abs(theirs[key] - expected).max() <= (1e-6 if "running" in key else 1e-9) * largest, key


def check_single_precision(one, other):
    """Single precision in one framework equals double precision in the other, but for rounding."""
    assert np.abs(one["logits32"] - other["logits"]).max() <= 1e-5 * np.abs(other["logits"]).max()


@pytest.mark.parametrize("name", a2.list_models())
def test_both_ways(name, torch_side, tmp_path):
    _, *frames, _, _ = input_shape(name)
    rng = np.random.default_rng(0)
    x, labels = rng.standard_normal((3, 3, *(4 for _ in frames), 32, 32)), rng.integers(0, CLASSES, 3)
    np.savez(tmp_path / "batch.npz", x=x, labels=labels)
    preprocessing = Preprocessing(32, frames=4 if frames else None)
    description = Description(name, ("one", "two", "three"), preprocessing)
    net = make(name)
    write_torch(net, description, tmp_path / "net_torch.py", tmp_path / "net.safetensors")
    exported, trained = torch_side(tmp_path)
    ours = compute(net, x, labels)
    check_equal(ours, exported)
    check_single_precision(exported, ours)

    back = settings.Import(tmp_path / "trained.safetensors", tmp_path / "back.params")
    assert a2.import_parameters(back)[0] == description
    net = a2.get_model(name, classes=CLASSES)
    load_weights(net, tmp_path / "back.params")
    ours = compute(net, x, labels)
    check_equal(ours, trained)
    check_single_precision(ours, trained)
    assert abs(ours["loss"] - exported["loss"]) > 1e-6  # PyTorch's step is in the file
