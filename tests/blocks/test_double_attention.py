"""The block against an independent NumPy implementation in double precision."""

import functools

import mxnet as mx
import numpy as np
import pytest

from a2net_gluon import DoubleAttention
from a2net_gluon.insight import attention_maps
from tests.helpers.numerics import bn_relu_conv, check_gradients, randomize, run, softmax

CONVOLUTIONS = ("phi", "theta", "rho", "expand")

SHAPES = {  # (N, c, …), m, n
    "square": ((2, 6, 5, 5), 3, 3),
    "m-not-n": ((2, 6, 4, 4), 5, 2),
    "not-square": ((2, 4, 3, 7), 2, 3),
    "batch-1": ((1, 6, 4, 3), 3, 4),
    "1x1": ((3, 6, 1, 1), 3, 2),
    "clip": ((2, 4, 3, 4, 2), 3, 2),
    "clip-of-1": ((3, 4, 1, 1, 1), 2, 3),
}


def reference(x, parameters, gathering="attention"):
    """Eqs. 4 to 6 with explicit sums, in NumPy, in the precision of its arguments; BN with the batch's statistics.

    With `gathering` "bilinear", Eq. 2 in place of Eq. 4; without ρ, the average of all descriptors everywhere.
    """

    flat = x.reshape(*x.shape[:2], -1)
    a = bn_relu_conv(parameters, "phi", flat)
    b = bn_relu_conv(parameters, "theta", flat)
    if gathering == "attention":
        b = softmax(b, axis=2)  # over the locations
    descriptors = np.einsum("kml,knl->kmn", a, b)  # g_i = Σ_j b_ij a_j
    if "rho.conv.weight" in parameters:
        v = softmax(bn_relu_conv(parameters, "rho", flat), axis=1)  # over the channels
        z = np.einsum("kmn,knl->kml", descriptors, v)  # z_i = Σ_j v_ij g_j
    else:
        z = np.repeat(descriptors.mean(axis=2, keepdims=True), flat.shape[2], axis=2)
    return x + bn_relu_conv(parameters, "expand", z).reshape(x.shape)


def make(shape, m, n, association="left", dtype="float64", seed=0, **kwargs):
    """A block with random parameters, its parameters as arrays, and a random input."""
    block = DoubleAttention(shape[1], m, n, ndim=len(shape) - 2, association=association, **kwargs)
    return block, *randomize(block, shape, dtype, seed)


@pytest.mark.parametrize("association", ["left", "right"])
@pytest.mark.parametrize("case", SHAPES)
def test_forward_and_gradients_equal_numpy(case, association):
    shape, m, n = SHAPES[case]
    block, arrays, x = make(shape, m, n, association)
    weights = np.random.default_rng(1).normal(size=shape)
    output, gradients = run(block, x, weights)
    np.testing.assert_allclose(output, reference(x, arrays), rtol=1e-9, atol=1e-9)
    check_gradients(reference, x, arrays, weights, gradients)


@pytest.mark.parametrize("association", ["left", "right"])
@pytest.mark.parametrize("steps", [("bilinear", "attention"), ("attention", "uniform"), ("bilinear", "uniform")])
@pytest.mark.parametrize("case", ["m-not-n", "clip"])
def test_steps_without_attention_equal_numpy(case, steps, association):
    shape, m, n = SHAPES[case]
    gathering, distribution = steps
    block, arrays, x = make(shape, m, n, association, gathering=gathering, distribution=distribution)
    assert any(name.startswith("rho") for name in arrays) == (distribution == "attention")
    expected = functools.partial(reference, gathering=gathering)
    weights = np.random.default_rng(1).normal(size=shape)
    output, gradients = run(block, x, weights)
    np.testing.assert_allclose(output, expected(x, arrays), rtol=1e-9, atol=1e-9)
    check_gradients(expected, x, arrays, weights, gradients)


@pytest.mark.parametrize("hybridize", [False, True])
@pytest.mark.parametrize("association", ["left", "right"])
@pytest.mark.parametrize("case", ["m-not-n", "not-square", "clip"])
def test_float32_is_as_close_as_float32_can_be(case, association, hybridize):
    shape, m, n = SHAPES[case]
    block, arrays, x = make(shape, m, n, association, dtype="float32")
    if hybridize:
        block.hybridize(static_alloc=True, static_shape=True)
    weights = np.random.default_rng(1).normal(size=shape).astype("float32")
    output, gradients = run(block, x, weights)
    double, double_arrays, _ = make(shape, m, n, association)
    exact, exact_gradients = run(double, x.astype("float64"), weights.astype("float64"))
    del double_arrays
    np.testing.assert_allclose(output, exact, rtol=2e-4, atol=2e-4)
    for name, gradient in gradients.items():
        scale = np.abs(exact_gradients[name]).max()
        np.testing.assert_allclose(gradient, exact_gradients[name], rtol=1e-2, atol=1e-3 * scale + 1e-5, err_msg=name)


@pytest.mark.parametrize("case", SHAPES)
def test_maps_are_distributions(case):
    shape, m, n = SHAPES[case]
    block, _, x = make(shape, m, n, dtype="float32", prefix="block_")
    gathering, distribution = attention_maps(block, mx.nd.array(x)).values()
    locations = int(np.prod(shape[2:]))
    assert gathering.shape == (shape[0], n, locations)
    assert distribution.shape == (shape[0], locations, n)
    np.testing.assert_allclose(gathering.asnumpy().sum(axis=2), 1, rtol=1e-5)
    np.testing.assert_allclose(distribution.asnumpy().sum(axis=2), 1, rtol=1e-5)


def test_maps_by_name_leave_the_graph_alone():
    block, _, x = make((1, 6, 4, 4), 3, 3, dtype="float32", prefix="block_")
    before = block(mx.sym.var("data")).list_outputs()
    assert list(attention_maps(block, mx.nd.array(x))) == ["block_gathering_maps", "block_distribution_maps"]
    assert block(mx.sym.var("data")).list_outputs() == before
    assert len(before) == 1


@pytest.mark.parametrize("association", ["left", "right"])
def test_large_logits_give_no_nan(association):
    block, _, x = make((2, 6, 4, 4), 3, 3, association, dtype="float32")
    for name in ("theta", "rho"):
        weight = getattr(block, name).conv.weight if hasattr(getattr(block, name), "conv") else None
        weight = weight or block._collect_params_with_prefix()[f"{name}.conv.weight"]
        weight.set_data(weight.data() * 1e6)
    output, gradients = run(block, x, np.ones_like(x))
    assert np.isfinite(output).all()
    assert all(np.isfinite(gradient).all() for gradient in gradients.values())


@pytest.mark.parametrize("ndim", [2, 3])
def test_any_size_at_run_time(ndim):
    block = DoubleAttention(4, ndim=ndim)
    block.initialize()
    block.hybridize(static_alloc=True, static_shape=True)
    for size in (3, 5, 1):
        shape = (2, 4, *(size + extra for extra in range(ndim)))
        assert block(mx.nd.random.normal(shape=shape)).shape == shape


def test_identity_start_is_the_identity_and_learns():
    block = DoubleAttention(6, identity_start=True)
    block.initialize(mx.init.MSRAPrelu())  # what GluonCV's scripts call over a whole network
    x = np.random.default_rng(0).normal(size=(2, 6, 4, 4)).astype("float32")
    output, gradients = run(block, x, np.random.default_rng(1).normal(size=x.shape).astype("float32"))
    np.testing.assert_array_equal(output, x)
    assert np.abs(gradients["expand.conv.weight"]).max() > 0


def test_parameter_count_is_the_papers():
    c = 256  # section 1 of the worked-out counts: 4·c·(c/4) weights and 13c BN values at m = n = c/4
    block = DoubleAttention(c, c // 4, c // 4)
    assert sum(int(np.prod(p.shape)) for p in block.collect_params().values()) == 4 * c * (c // 4) + 13 * c


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"channels": 0}, "channels is 0"),
        ({"channels": 8, "value_channels": -1}, "value_channels is -1"),
        ({"channels": 8, "attention_channels": 2.5}, "attention_channels is 2.5"),
        ({"channels": 1}, "value_channels is 0"),
        ({"channels": 8, "ndim": 1}, "ndim is 1"),
        ({"channels": 8, "association": "middle"}, "association is 'middle'"),
        ({"channels": 8, "gathering": "max"}, "gathering is 'max'; it must be one of attention, bilinear"),
        ({"channels": 8, "distribution": "none"}, "distribution is 'none'; it must be one of attention, uniform"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        DoubleAttention(**arguments)
