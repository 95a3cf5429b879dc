"""The blocks the paper compares with, against independent NumPy implementations in double precision."""

import mxnet as mx
import numpy as np
import pytest

from a2net_gluon import DoubleAttention
from a2net_gluon.blocks import NonLocal, PreActivationConv, SqueezeExcitation, bilinear_pooling
from a2net_gluon.blocks.non_local import ATTENTION_MAPS
from tests.helpers.numerics import bn_relu_conv, check_gradients, randomize, run, softmax

SHAPES = {"image": (2, 6, 3, 5), "batch-1": (1, 6, 4, 3), "clip": (2, 6, 3, 2, 4), "1x1": (3, 6, 1, 1)}
BLOCKS = {
    "a2": lambda channels, ndim: DoubleAttention(channels, ndim=ndim),
    "nl": lambda channels, ndim: NonLocal(channels, ndim=ndim),
    "conv": lambda channels, ndim: PreActivationConv(channels, channels, (3,) * ndim, prefix="unit__"),
    "se": lambda channels, ndim: SqueezeExcitation(channels, 4, ndim=ndim),
}


def non_local(x, parameters):
    flat = x.reshape(*x.shape[:2], -1)
    theta, phi, g = (bn_relu_conv(parameters, name, flat) for name in ("theta", "phi", "g"))
    attention = softmax(np.einsum("kni,knj->kij", theta, phi), axis=2)  # over j
    z = np.einsum("kij,kmj->kmi", attention, g)  # z_i = Σ_j a_ij g_j
    return x + bn_relu_conv(parameters, "expand", z).reshape(x.shape)


def squeeze_excitation(x, parameters):
    def layer(name, y):  # (N, channels)
        weight = parameters[f"{name}.weight"]
        return y @ weight.reshape(weight.shape[:2]).T + parameters[f"{name}.bias"]

    average = x.reshape(*x.shape[:2], -1).mean(axis=2)
    scale = 1 / (1 + np.exp(-layer("excite", np.maximum(layer("squeeze", average), 0))))
    return x * scale.reshape(*scale.shape, *[1] * (x.ndim - 2))


@pytest.mark.parametrize("kind", ["nl", "se"])
@pytest.mark.parametrize("case", SHAPES)
def test_forward_and_gradients_equal_numpy(case, kind):
    shape = SHAPES[case]
    ndim = len(shape) - 2
    if kind == "nl":
        block, reference = NonLocal(6, 5, 2, ndim=ndim), non_local
    else:
        block, reference = SqueezeExcitation(6, 4, ndim=ndim), squeeze_excitation
    arrays, x = randomize(block, shape)
    weights = np.random.default_rng(1).normal(size=shape)
    output, gradients = run(block, x, weights)
    np.testing.assert_allclose(output, reference(x, arrays), rtol=1e-9, atol=1e-9)
    check_gradients(reference, x, arrays, weights, gradients)


@pytest.mark.parametrize("hybridize", [False, True])
@pytest.mark.parametrize("shape", [(2, 32, 4, 4), (2, 32, 2, 4, 4)])
@pytest.mark.parametrize("kind", BLOCKS)
def test_float32_with_layouts_of_onednn(kind, shape, hybridize):
    """Channels in multiples of 16, which oneDNN lays out in its own way: MXNet's operators for clips stumble there."""
    exact = BLOCKS[kind](32, len(shape) - 2)
    arrays, x = randomize(exact, shape)
    weights = np.random.default_rng(1).normal(size=shape)
    expected, expected_gradients = run(exact, x, weights)
    block = BLOCKS[kind](32, len(shape) - 2)
    randomize(block, shape, "float32")
    if hybridize:
        block.hybridize(static_alloc=True, static_shape=True)
    output, gradients = run(block, x.astype("float32"), weights.astype("float32"))
    np.testing.assert_allclose(output, expected, rtol=1e-3, atol=1e-3)
    for name in arrays:
        scale = np.abs(expected_gradients[name]).max()
        np.testing.assert_allclose(gradients[name], expected_gradients[name], rtol=1e-2, atol=1e-3 * scale + 1e-5)


@pytest.mark.parametrize("case", SHAPES)
def test_rows_of_the_attention_map_are_distributions(case):
    shape = SHAPES[case]
    block = NonLocal(6, ndim=len(shape) - 2, prefix="block_")
    _, x = randomize(block, shape, "float32")
    data = mx.sym.var("data")
    node = block(data).get_internals()[f"block_{ATTENTION_MAPS}_output"]
    attention = mx.gluon.SymbolBlock([node], [data], params=block.collect_params())(mx.nd.array(x)).asnumpy()
    locations = int(np.prod(shape[2:]))
    assert attention.shape == (shape[0], locations, locations)
    np.testing.assert_allclose(attention.sum(axis=2), 1, rtol=1e-5)
    if locations > 1:
        assert np.abs(attention.sum(axis=1) - 1).max() > 1e-2  # the columns do not


@pytest.mark.parametrize("ndim", [2, 3])
def test_non_local_has_as_many_parameters_as_double_attention(ndim):
    c = 64
    counts = [
        sum(int(np.prod(p.shape)) for p in block(c, c // 4, c // 4, ndim=ndim).collect_params().values())
        for block in (NonLocal, DoubleAttention)
    ]
    assert counts == [4 * c * (c // 4) + 13 * c] * 2


def test_non_local_can_start_as_the_identity():
    block = NonLocal(6, identity_start=True)
    block.initialize(mx.init.MSRAPrelu())
    x = np.random.default_rng(0).normal(size=(2, 6, 4, 4)).astype("float32")
    output, gradients = run(block, x, np.random.default_rng(1).normal(size=x.shape).astype("float32"))
    np.testing.assert_array_equal(output, x)
    assert np.abs(gradients["expand.conv.weight"]).max() > 0


def test_bilinear_pooling_sums_outer_products():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 3, 5)), rng.normal(size=(2, 4, 5))
    expected = sum(np.einsum("km,kn->kmn", a[:, :, i], b[:, :, i]) for i in range(5))  # Eq. 2
    pooled = bilinear_pooling(mx.nd, mx.nd.array(a, dtype="float64"), mx.nd.array(b, dtype="float64"))
    np.testing.assert_allclose(pooled.asnumpy(), expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("block", "arguments", "message"),
    [
        (NonLocal, {"channels": 0}, "channels is 0"),
        (NonLocal, {"channels": 8, "value_channels": 1.5}, "value_channels is 1.5"),
        (NonLocal, {"channels": 8, "ndim": 4}, "ndim is 4"),
        (SqueezeExcitation, {"channels": "8"}, "channels is '8'"),
        (SqueezeExcitation, {"channels": 8}, "squeezed_channels is 0"),
        (SqueezeExcitation, {"channels": 16, "ndim": 1}, "ndim is 1"),
    ],
)
def test_bad_arguments(block, arguments, message):
    with pytest.raises(ValueError, match=message):
        block(**arguments)
