"""MobileNetV2 against MXNet's own."""

import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd
from mxnet.gluon.model_zoo.vision import mobilenet_v2_1_0

from a2net_gluon import DoubleAttention, get_model
from a2net_gluon.networks import load_backbone

EPSILON = 1e-5  # of the BNs in MXNet's model zoo


def settle(net, x):
    """Random parameters, and the running statistics that `x` gives, so that the features tell images apart."""
    mx.random.seed(0)
    net.initialize(mx.init.MSRAPrelu())
    for name, parameter in net.collect_params().items():
        if name.endswith(("gamma", "beta", "bias")):
            low = 0.5 if name.endswith("gamma") else -0.5
            parameter.set_data(mx.nd.random.uniform(low, low + 1, parameter.shape))
    with autograd.record():
        net(x).sum().backward()
    mx.nd.waitall()  # running statistics are written in the backward pass


def size(parameters):
    return sum(parameter.data().size for parameter in parameters)


def test_same_features_and_logits_as_mxnets():
    """But that MXNet's first unit has an expansion (which expands nothing), and its output layer no bias."""
    net = get_model("mobilenet_v2", classes=7, norm_kwargs={"epsilon": EPSILON, "momentum": 0})
    peer = mobilenet_v2_1_0(classes=7)
    x = mx.nd.random.normal(shape=(4, 3, 64, 64))
    settle(net, x)
    net.output.bias.set_data(mx.nd.zeros(7))
    peer.initialize()
    peer(x)  # now the shapes are known
    expansion = list(peer.features[3].out.collect_params().values())[:5]
    # The identity on what it gets, which is between 0 and 6.
    identity = [mx.nd.eye(32).reshape((32, 32, 1, 1)), mx.nd.ones(32), mx.nd.zeros(32), mx.nd.zeros(32)]
    for parameter, value in zip(expansion, [*identity, mx.nd.full(32, 1 - EPSILON)]):
        parameter.set_data(value)
    others = [parameter for parameter in peer.collect_params().values() if parameter not in expansion]
    ours = [parameter for name, parameter in net.collect_params().items() if name != "fc_bias"]
    assert len(ours) == len(others)
    for one, other in zip(ours, others):
        other.set_data(one.data().reshape(other.shape))
    expected = peer.features(x).asnumpy().reshape((4, 1280))
    assert expected.std(axis=0).max() > 0.1  # images are told apart
    np.testing.assert_allclose(net.features(x).asnumpy(), expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(net(x).asnumpy(), peer(x).asnumpy(), rtol=1e-4, atol=1e-4)
    assert size(net.collect_params().values()) == size(peer.collect_params().values()) - size(expansion) + 7


def children(net, kind):
    found = []
    net.apply(lambda block: found.append(block) if isinstance(block, kind) else None)
    return found


def test_blocks_stand_on_linear_outputs_of_28_and_14():
    net = get_model("a2net_mobilenet_v2")
    net.initialize(mx.init.MSRAPrelu())
    seen = []
    for block in children(net, DoubleAttention):
        block.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with autograd.train_mode():  # the statistics of this batch keep the features from shrinking
        net(mx.nd.random.normal(shape=(1, 3, 224, 224)))
    assert [x.shape[1:] for x in seen] == [(32, 28, 28)] * 2 + [(64, 14, 14)] * 2 + [(96, 14, 14)]
    assert all(x.min().asscalar() < -0.1 for x in seen)


def test_blocks_on_a_trained_network_start_as_the_identity(tmp_path):
    plain = get_model("mobilenet_v2", classes=7, norm_kwargs={"momentum": 0})
    x = mx.nd.random.normal(shape=(4, 3, 64, 64))
    settle(plain, x)
    plain.save_parameters(str(tmp_path / "plain.params"))
    extended = get_model("a2net_mobilenet_v2", classes=5)
    extended.initialize(mx.init.MSRAPrelu())
    report = load_backbone(extended, tmp_path / "plain.params")
    expected = plain.features(x).asnumpy()
    np.testing.assert_allclose(extended.features(x).asnumpy(), expected, rtol=1e-4, atol=1e-4)
    assert expected.std(axis=0).max() > 0.1
    assert [name for name in report.new if name.endswith("expand.conv.weight")] == [
        f"features.{stage}.context{unit}.expand.conv.weight"
        for stage, unit in (("conv4", 1), ("conv4", 3), ("conv5", 2), ("conv5", 4), ("conv6", 2))
    ]


def test_last_gamma_starts_units_as_their_shortcuts():
    net = get_model("mobilenet_v2", last_gamma=True)
    net.initialize(mx.init.MSRAPrelu())
    zero = [name for name, p in net.collect_params().items() if "gamma" in name and not p.data().asnumpy().any()]
    assert len(zero) == 10  # of 17 units, 10 keep size and width
    unit = net.features._children["conv4"]._children["unit2"]
    x = mx.nd.random.normal(shape=(1, 32, 5, 5))
    np.testing.assert_array_equal(unit(x).asnumpy(), x.asnumpy())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"placement": {"conv9": (1,)}}, "stage 'conv9'; this network has conv2, conv3, conv4, .*, conv8"),
        ({"placement": {"conv4": (4,)}}, "unit 4 of conv4; its units are 1 to 3"),
        ({"placement": {"conv4": (0,)}}, "unit 0 of conv4"),
        ({"reduction": 64}, "reduction is 64; a stage of 32 channels"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        get_model("a2net_mobilenet_v2", **arguments)
