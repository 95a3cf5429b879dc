"""An export is judged by what the network itself loses in single precision."""

import mxnet as mx
import numpy as np
import pytest

from a2net_gluon.deploy import export_network
from a2net_gluon.deploy.inputs import crops_of, graph_input
from a2net_gluon.deploy.verification import ROUNDINGS, TOLERANCE
from a2net_gluon.errors import FailureError
from tests.helpers.exports import describe, make, make_wrong

NAME = "resnet20_small"
DESCRIPTION = describe(NAME)


@pytest.fixture(scope="module")
def rough():
    """A network whose logits are small differences of large numbers: float32 leaves them about three digits."""
    net = make(NAME)
    net(mx.nd.zeros((1, 3, 32, 32)))
    parameters = net.collect_params()
    last = [parameter for name, parameter in parameters.items() if name.endswith("bn_beta")][-1]
    last.set_data(mx.nd.ones_like(last.data()) * 3000)
    net.output.bias.set_data(-3000 * net.output.weight.data().sum(axis=1))
    return net


@pytest.mark.parametrize("pixels", [False, True])
def test_a_form_may_differ_as_much_as_float32_does(rough, tmp_path, monkeypatch, pixels):
    x = graph_input(crops_of([], DESCRIPTION.preprocessing), DESCRIPTION)
    single = rough(mx.nd.array(x)).asnumpy()
    double = make(NAME)
    double.cast("float64")
    for name, parameter in rough.collect_params().items():
        double.collect_params()[name].set_data(parameter.data().astype("float64"))
    exact = double(mx.nd.array(x, dtype="float64")).asnumpy()
    rounding = np.abs(single - exact).max() / np.abs(exact).max()
    assert rounding > TOLERANCE
    make_wrong(monkeypatch, factor=1 + 0.9 * rounding)
    proof = export_network(rough, tmp_path / "model", DESCRIPTION, pixels=pixels)["symbol"]
    assert TOLERANCE < proof.difference <= ROUNDINGS * proof.rounding
    assert 0.1 * rounding < proof.rounding <= 1.01 * rounding  # measured on some of the images
    make_wrong(monkeypatch, factor=1 + 4 * rounding)
    with pytest.raises(FailureError, match=r"more than 0\.\d+: float32 itself differs by 0\.\d+ from float64; --tol"):
        export_network(rough, tmp_path / "model", DESCRIPTION, pixels=pixels)


def test_a_given_tolerance_is_the_limit(tmp_path, monkeypatch):
    make_wrong(monkeypatch, factor=1.0002)
    with pytest.raises(
        FailureError, match=r"differs by 0.0002 \(relative\), more than 1e-05; --tolerance sets another"
    ):
        export_network(make(NAME), tmp_path / "model", DESCRIPTION, tolerance=1e-5)
    proof = export_network(make(NAME), tmp_path / "model", DESCRIPTION, tolerance=1e-2)["symbol"]
    assert proof.rounding is None
