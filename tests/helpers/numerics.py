"""What the tests of blocks share: parts of the NumPy references, and gradients against central differences."""

import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd

from a2net_gluon.blocks.preactivation import BN_EPSILON


def bn_relu_conv(parameters, name, y):
    """BN with the batch's statistics, ReLU and 1×1 convolution of y: (N, channels, L)."""
    mean = y.mean(axis=(0, 2), keepdims=True)
    variance = y.var(axis=(0, 2), keepdims=True)
    y = (y - mean) / np.sqrt(variance + BN_EPSILON)
    y = y * parameters[f"{name}.bn.gamma"][:, None] + parameters[f"{name}.bn.beta"][:, None]
    weight = parameters[f"{name}.conv.weight"]
    return np.einsum("oc,ncl->nol", weight.reshape(weight.shape[:2]), np.maximum(y, 0))


def softmax(y, axis):
    y = np.exp(y - y.max(axis=axis, keepdims=True))
    return y / y.sum(axis=axis, keepdims=True)


def randomize(block, shape, dtype="float64", seed=0):
    """Give `block` random parameters; returns them as arrays, and a random input."""
    rng = np.random.default_rng(seed)
    block.initialize()
    block.cast(dtype)
    arrays = {}
    for name, parameter in block._collect_params_with_prefix().items():
        if "running" in name:
            continue
        arrays[name] = rng.normal(1 if "gamma" in name else 0, 0.7, parameter.shape).astype(dtype)
        parameter.set_data(mx.nd.array(arrays[name], dtype=dtype))
    return arrays, rng.normal(0, 1, shape).astype(dtype)


def run(block, x, weights):
    """Output and gradients of sum(output * weights), in training mode."""
    data = mx.nd.array(x, dtype=x.dtype)
    data.attach_grad()
    with autograd.record():
        output = block(data)
        loss = (output * mx.nd.array(weights, dtype=x.dtype)).sum()
    loss.backward()
    gradients = {
        name: parameter.grad().asnumpy()
        for name, parameter in block._collect_params_with_prefix().items()
        if parameter.grad_req != "null"
    }
    return output.asnumpy(), {"x": data.grad.asnumpy(), **gradients}


def check_gradients(reference, x, arrays, weights, gradients):
    """Derivatives of sum(reference(x, arrays) * weights) along random directions, by central differences."""
    rng = np.random.default_rng(2)
    point = {"x": x, **arrays}
    assert set(gradients) == set(point)
    for name, value in point.items():
        for _ in range(3):
            direction, step = rng.normal(size=value.shape), 1e-6
            ends = []
            for sign in (1, -1):
                moved = {**point, name: value + sign * step * direction}
                ends.append(np.sum(reference(moved.pop("x"), moved) * weights))
            expected = (ends[0] - ends[1]) / (2 * step)
            assert np.sum(gradients[name] * direction) == pytest.approx(expected, rel=2e-4, abs=2e-6), name
