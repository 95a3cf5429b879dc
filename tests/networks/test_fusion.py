"""BN and ReLU as one operator: where, and that nothing changes by it."""

import json

import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd

from a2net_gluon import get_model, list_models
from a2net_gluon.networks.fusion import fuse_relu, fused
from tests.helpers import photographs
from tests.helpers.weights import QUICK

FUSED = "_contrib_BatchNormWithReLU"


def operators(symbol):
    return {node["name"]: node["op"] for node in json.loads(symbol.tojson())["nodes"] if node["op"] != "null"}


def images():
    return mx.nd.array(photographs.batch(4, 32)[0])


def small_network(name, **options):
    mx.random.seed(0)
    net = get_model(name, classes=10, **options)
    net.initialize(QUICK)
    return net


def step(forward, parameters, inputs):
    """Loss, gradients and running statistics of one step that starts from fresh statistics."""
    for name, parameter in parameters.items():
        if "running" in name:
            parameter.set_data(mx.nd.full(parameter.shape, "var" in name))
    with autograd.record():
        losses = mx.gluon.loss.SoftmaxCrossEntropyLoss()(forward(inputs), mx.nd.arange(len(inputs)))
    losses.backward()
    mx.nd.waitall()
    found = {name: each.data() if each.grad_req == "null" else each.grad() for name, each in parameters.items()}
    return {"loss": losses.asnumpy(), **{name: array.asnumpy() for name, array in found.items()}}


@pytest.mark.parametrize("name", list_models(ndim=2))
def test_gradients_are_those_of_the_plain_network(name):
    net = small_network(name)
    net.hybridize(static_alloc=True, static_shape=True)
    quick, inputs = fused(net), images()
    expected = step(net, net.collect_params(), inputs)
    found = step(quick, net.collect_params(), inputs)
    for key, array in expected.items():
        np.testing.assert_allclose(found[key], array, rtol=0, atol=1e-6 * max(np.abs(array).max(), 1e-30), err_msg=key)


@pytest.mark.parametrize("name", ["a2net_resnet20_small", "se_resnet50", "nl_resnet50", "a2net_mobilenet_v2"])
def test_logits_are_those_of_the_plain_network(name):
    """Also where only gradients would be wrong."""
    net, inputs = small_network(name), images()
    data = mx.sym.var("data")
    whole = fuse_relu(net(data), gradients=False)
    quick = mx.gluon.SymbolBlock(whole, data, params=net.collect_params())
    expected = net(inputs).asnumpy()
    np.testing.assert_allclose(quick(inputs).asnumpy(), expected, rtol=0, atol=1e-6 * np.abs(expected).max())
    assert not {"BatchNorm", "Activation"} <= set(operators(whole).values())


def test_what_is_fused():
    """All but what the block reshapes before its last BN; in inference that too."""
    symbol = small_network("a2net_resnet50")(mx.sym.var("data"))
    reshaped = {name for name in operators(symbol) if name.endswith("expand__bn_fwd")}
    assert len(reshaped) == 5
    norms = {name for name, operator in operators(symbol).items() if operator == "BatchNorm"}
    quick = operators(fuse_relu(symbol))
    assert {name for name, operator in quick.items() if operator == FUSED} == norms - reshaped
    assert {name for name, operator in quick.items() if operator == "BatchNorm"} == reshaped
    assert sum(operator == "Activation" for operator in quick.values()) == 5
    assert set(operators(fuse_relu(symbol, gradients=False)).values()) & {"BatchNorm", "Activation", FUSED} == {FUSED}


@pytest.mark.parametrize(
    "why", ["channels", "groups", "product", "statistics", "axis", "read twice", "sum with a product", "no ReLU"]
)
def test_what_is_not_fused(why):
    data = mx.sym.Convolution(
        mx.sym.var("data"), kernel=(1, 1), num_filter=8 if why == "channels" else 16, num_group=1 + (why == "groups")
    )
    if "product" in why:
        product = mx.sym.broadcast_mul(data, mx.sym.var("scale"))
        data = data + product if "sum" in why else product
    norm = mx.sym.BatchNorm(data, use_global_stats=why == "statistics", axis=-1 if why == "axis" else 1)
    symbol = mx.sym.Activation(norm, act_type="tanh" if why == "no ReLU" else "relu")
    if why == "read twice":
        symbol = symbol + norm
    assert FUSED not in operators(fuse_relu(symbol)).values()


def test_networks_for_clips_stay_as_they_are():
    symbol = small_network("a2net_resnet26_3d")(mx.sym.var("data"))
    assert operators(fuse_relu(symbol)) == operators(symbol)
