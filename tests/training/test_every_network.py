"""Every registered network takes a few training steps on real images or clips."""

import mxnet as mx
import numpy as np
import pytest
from mxnet.gluon.loss import SoftmaxCrossEntropyLoss

from a2net_gluon import get_model, list_models
from a2net_gluon.networks import input_shape
from tests.helpers import clips, photographs
from tests.helpers.weights import QUICK

STEPS = 3
RATE = 0.003  # small enough for every network here, without a warm-up


def real_batch(name, real_data):
    _, *frames, _, _ = input_shape(name)
    if frames:
        return clips.batch(real_data("video_clips.tar"), 1, 4, 32)
    return photographs.batch(8)


@pytest.mark.parametrize("name", list_models())
def test_a_few_steps(name, real_data):
    x, labels = map(mx.nd.array, real_batch(name, real_data))
    mx.random.seed(0)
    net = get_model(name, classes=5)
    net.initialize(QUICK)
    net.hybridize(static_alloc=True, static_shape=True)
    trainer = mx.gluon.Trainer(net.collect_params(), "nag", {"learning_rate": RATE, "momentum": 0.9})
    losses = []
    for step in range(STEPS):
        with mx.autograd.record():
            loss = SoftmaxCrossEntropyLoss()(net(x), labels)
        loss.backward()
        if step == 0:
            check_gradients(net)
        trainer.step(len(x))
        losses.append(float(loss.mean().asscalar()))
    assert losses[-1] < losses[0]


def check_gradients(net):
    for parameter in net.collect_params().values():
        if parameter.grad_req != "null":
            gradient = parameter.grad().asnumpy()
            assert np.isfinite(gradient).all(), parameter.name
            assert gradient.any(), parameter.name
