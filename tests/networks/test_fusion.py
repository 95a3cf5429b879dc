"""BN and ReLU as one operator: where, and that nothing changes by it."""

import json
import types

import mxnet as mx
import numpy as np
import pytest

from a2net_gluon import list_models
from a2net_gluon.mxnet_fixes import symbol_block
from a2net_gluon.networks.fusion import fuse_relu
from a2net_gluon.networks.products import multiply_by_matrices
from tests.helpers import photographs
from tests.helpers.steps import assert_same_step, small_network, step

FUSED = "_contrib_BatchNormWithReLU"


def operators(symbol):
    return {node["name"]: node["op"] for node in json.loads(symbol.tojson())["nodes"] if node["op"] != "null"}


def images():
    return mx.nd.array(photographs.batch(4, 32)[0])


def compare_steps(net, inputs):
    """The step of `net` hybridized, after that of its graph without fused operators."""
    data = mx.sym.var("data")
    plain = symbol_block(multiply_by_matrices(net(data)), data, net.collect_params())
    for block in (plain, net):
        block.hybridize(static_alloc=True, static_shape=True)
    assert_same_step(*(step(block, net.collect_params(), inputs) for block in (net, plain)), tolerance=1e-6)


@pytest.mark.parametrize("name", list_models(ndim=2))
def test_gradients_are_those_of_the_plain_network(name):
    compare_steps(small_network(name), images())


def test_wrong_gradients_are_seen(monkeypatch):
    """Those of the operator behind a reshape, which `fuse_relu` leaves out."""
    net = small_network("a2net_resnet20_small")
    monkeypatch.setattr(net, "rewritten", lambda graph, training: fuse_relu(graph, gradients=False))
    with pytest.raises(AssertionError, match="Not equal"):
        compare_steps(net, images())


@pytest.mark.parametrize("name", ["a2net_resnet20_small", "se_resnet50", "nl_resnet50", "a2net_mobilenet_v2"])
def test_logits_are_those_of_the_plain_network(name):
    """Also where only gradients would be wrong."""
    net, inputs = small_network(name), images()
    expected = net(inputs).asnumpy()
    net.hybridize()
    np.testing.assert_allclose(net(inputs).asnumpy(), expected, rtol=0, atol=1e-6 * np.abs(expected).max())
    assert not {"BatchNorm", "Activation"} <= set(operators(net.rewritten(net(mx.sym.var("data")), False)).values())


def test_where_graphs_are_rewritten(monkeypatch):
    net, inputs = small_network("a2net_resnet20_small"), images()
    assert net.can_rewrite(inputs)
    assert not net.can_rewrite(inputs.astype("float64"))
    assert not net.can_rewrite(types.SimpleNamespace(context=mx.gpu(), dtype=np.float32))
    monkeypatch.setenv("MXNET_MKLDNN_ENABLED", "0")
    assert not net.can_rewrite(inputs)


@pytest.mark.parametrize("why", ["double precision", "MXNET_MKLDNN_ENABLED=0"])
def test_the_traced_graph_runs_elsewhere(why, monkeypatch):
    """Its answers are those of the plain network to the last bit, and nothing is rewritten."""
    net, inputs = small_network("a2net_resnet20_small"), images()
    if why == "double precision":
        net.cast("float64")
        inputs = inputs.astype("float64")
    else:
        monkeypatch.setenv("MXNET_MKLDNN_ENABLED", "0")
    monkeypatch.setattr(net, "rewritten", lambda graph, training: pytest.fail("rewritten"))
    data = mx.sym.var("data", dtype=inputs.dtype)
    plain = symbol_block(net(data), data, net.collect_params())
    for block in (plain, net):
        block.hybridize()
    np.testing.assert_array_equal(net(inputs).asnumpy(), plain(inputs).asnumpy())


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
    "why",
    [
        "channels",
        "channels of a reader",
        "groups",
        "product",
        "statistics",
        "axis",
        "read twice",
        "sum with a product",
        "no ReLU",
    ],
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
    if "reader" in why:
        symbol = mx.sym.Convolution(symbol, kernel=(1, 1), num_filter=8)
    assert FUSED not in operators(fuse_relu(symbol)).values()
