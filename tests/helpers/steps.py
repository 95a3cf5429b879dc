"""One training step of a small network: loss, gradients, running statistics."""

import mxnet as mx
import numpy as np
from mxnet import autograd

from a2net_gluon import get_model, mxnet_fixes
from tests.helpers.weights import QUICK


def small_network(name, **options):
    """A network of ten classes with random weights, the same in every call."""
    mx.random.seed(0)
    net = get_model(name, classes=10, **options)
    net.initialize(QUICK)
    return net


def step(forward, parameters, inputs):
    """Loss, gradients and running statistics of one step that starts from fresh statistics."""
    for name, parameter in parameters.items():
        if "running" in name:
            parameter.set_data(mx.nd.full(parameter.shape, "var" in name, dtype=parameter.dtype))
    with autograd.record():
        losses = mx.gluon.loss.SoftmaxCrossEntropyLoss()(forward(inputs), mx.nd.arange(len(inputs)))
    losses.backward()
    mx.nd.waitall()
    found = {name: each.data() if each.grad_req == "null" else each.grad() for name, each in parameters.items()}
    return {"loss": losses.asnumpy(), **{name: array.asnumpy() for name, array in found.items()}}


def double_steps(options, inputs, rewritten):
    """Steps in double precision of a small network, of its graph as it is traced and as `rewritten` makes it."""
    net = small_network(**options)
    net.cast("float64")
    net.hybridize()  # nothing is rewritten in double precision
    data = mx.sym.var("data", dtype="float64")
    block = mxnet_fixes.symbol_block(rewritten(net(data)), data, net.collect_params())
    return [step(each, net.collect_params(), inputs.astype("float64")) for each in (net, block)]


def assert_same_step(found, expected, tolerance):
    """Compare two steps value by value, relative to the largest value of each array."""
    for key, array in expected.items():
        scale = max(np.abs(array).max(), 1e-30)
        np.testing.assert_allclose(found[key], array, rtol=0, atol=tolerance * scale, err_msg=key)
