"""Products with a factor for each channel as products of matrices: where, and that nothing changes by it."""

import collections
import json

import mxnet as mx
import numpy as np
import pytest

from a2net_gluon import get_model, mxnet_fixes
from a2net_gluon.networks.folding import fold_clips
from a2net_gluon.networks.products import multiply_by_matrices
from tests.helpers.steps import assert_same_step, double_steps, small_network, step

BLOCKS = {"context": "se", "placement": {"conv2": (1,), "conv3": (1, 2)}}
NETWORKS = {
    "images": {"name": "resnet20_small", **BLOCKS},
    "clips": {"name": "resnet20_small_3d", **BLOCKS},
    "a network for ImageNet": {"name": "se_resnet50"},
}


def noise(name):
    shape = (2, 3, 4, 32, 32) if name.endswith("_3d") else (2, 3, 32, 32)
    return mx.nd.array(np.random.default_rng(0).normal(size=shape))


def operators(symbol):
    return collections.Counter(node["op"] for node in json.loads(symbol.tojson())["nodes"])


@pytest.mark.parametrize("options", NETWORKS.values(), ids=NETWORKS)
def test_steps_are_those_of_the_plain_network(options):
    rewritten = lambda graph: multiply_by_matrices(fold_clips(graph))  # noqa: E731
    assert_same_step(*double_steps(options, noise(options["name"]), rewritten), tolerance=1e-10)


@pytest.mark.parametrize("options", NETWORKS.values(), ids=NETWORKS)
def test_steps_in_single_precision_are_as_exact(options):
    """A hybridized network, which runs the rewritten graph, and its graph as it is traced, beside double precision."""
    inputs, data = noise(options["name"]), mx.sym.var("data")
    net = small_network(**options)
    plain = mxnet_fixes.symbol_block(net(data), data, net.collect_params())
    expected, _ = double_steps(options, inputs, lambda graph: graph)
    errors = []
    for block in (net, plain):
        block.hybridize(static_alloc=True)
        found = step(block, net.collect_params(), inputs)
        norms = [(np.linalg.norm(found[key] - array), np.linalg.norm(array)) for key, array in expected.items()]
        errors.append(np.mean([difference / max(norm, 1e-30) for difference, norm in norms]))
    assert 0 < errors[0] < 10 * errors[1] < 0.5


def test_what_is_rewritten():
    """In training, the products of the blocks, and nothing else; elsewhere nothing."""
    net = get_model("se_resnet50")
    graph = net(mx.sym.var("data"))
    assert operators(graph)["broadcast_mul"] == 16
    training, inference = (operators(net.rewritten(graph, training)) for training in (True, False))
    assert (training["broadcast_mul"], training["batch_dot"]) == (0, 16)
    assert (inference["broadcast_mul"], inference["batch_dot"]) == (16, 0)
    assert multiply_by_matrices(graph).list_inputs() == graph.list_inputs()
    assert multiply_by_matrices(graph).list_outputs() == graph.list_outputs()


def test_a_factor_for_each_location_stays():
    x = mx.sym.var("x")
    mask = mx.sym.sigmoid(mx.sym.Convolution(x, kernel=(1, 1), num_filter=1))
    pooled = mx.sym.Pooling(x, kernel=(2, 2), pool_type="avg")
    for product in (mx.sym.broadcast_mul(x, mask), mx.sym.broadcast_mul(x, pooled), mx.sym.broadcast_mul(x, x)):
        assert operators(multiply_by_matrices(product)) == operators(product)
