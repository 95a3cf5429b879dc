"""One step of SGD without momentum against NumPy: each parameter has its own factors of learning rate and decay."""

import numpy as np
import pytest

from a2net_gluon.errors import UsageError
from tests.helpers.learners import FILE_NAMES, make_batches, make_clip_learner, make_learner, parameters, train

RATE, DECAY, IMAGES = 0.5, 0.1, 8
PLAIN = {"momentum": 0.0, "wd": DECAY}


def assert_step(learner, batches, rate_of, decays):
    """Compare the step on one batch with the formula; returns the names of the trained parameters."""
    before = {name: value.astype(np.float64) for name, value in parameters(learner.net, FILE_NAMES).items()}
    train(learner, batches, rate=RATE)
    after = parameters(learner.net, FILE_NAMES)
    trained = {
        name: parameter
        for name, parameter in getattr(learner.net, FILE_NAMES)().items()
        if parameter.grad_req != "null"
    }
    for name, parameter in trained.items():
        gradient = parameter.grad().asnumpy().astype(np.float64) / IMAGES
        decay = DECAY * before[name] if decays(name) else 0
        expected = before[name] - RATE * rate_of(name, parameter.shape) * (gradient + decay)
        np.testing.assert_allclose(after[name], expected, rtol=1e-5, atol=1e-6, err_msg=name)
    return set(trained)


def with_betas(learner):
    """Biases and betas start at zero, where nothing can decay: give them values."""
    for name, parameter in learner.net.collect_params().items():
        if name.endswith(("beta", "bias")):
            parameter.set_data(parameter.data() + 1)
    return learner


@pytest.mark.parametrize(
    ("option", "decays"),
    [
        ({}, lambda name: True),
        ({"no_wd": True}, lambda name: name.endswith("weight")),
        ({"no_bias_decay": True}, lambda name: name.endswith(("weight", "gamma"))),
    ],
)
def test_decay_of_biases_and_scales(option, decays):
    trained = assert_step(with_betas(make_learner(**PLAIN, **option)), make_batches(1), lambda name, shape: 1, decays)
    for ending in ("weight", "bias", "gamma", "beta"):
        assert any(name.endswith(ending) for name in trained)


def test_rate_of_the_backbone():
    learner = make_learner(**PLAIN, backbone_lr_mult=0.2)
    trained = assert_step(
        learner, make_batches(1), lambda name, shape: 1 if name.startswith("output.") else 0.2, lambda name: True
    )
    assert {"output.weight", "output.bias"} < trained


def test_rate_of_kernels_along_time():
    """The factor is one of those kernels only: not of 1x1x1 ones, nor of BN. It is multiplied with the backbone's."""

    def rate_of(name, shape):
        return (0.5 if name in along_time else 1) * (1 if name.startswith("output.") else 0.4)

    along_time = {"features.conv1.weight", "features.conv2.unit1.b.conv.weight", "features.conv3.unit1.b.conv.weight"}
    learner = make_clip_learner(**PLAIN, temporal_lr_mult=0.5, backbone_lr_mult=0.4)
    trained = assert_step(learner, make_batches(1, frames=(4,)), rate_of, lambda name: True)
    assert along_time < trained


def test_there_are_no_kernels_along_time_in_a_network_for_images():
    with pytest.raises(UsageError, match="--temporal-lr-mult is 0.5, but no kernel of the network is longer than one"):
        make_learner(temporal_lr_mult=0.5)
