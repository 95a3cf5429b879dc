import mxnet as mx
import numpy as np
import pytest

from a2net_gluon import get_model
from a2net_gluon.data import Batch, Preprocessing
from a2net_gluon.errors import FailureError, UsageError
from a2net_gluon.training.learner import Learner, Optimization, check_finite, evaluate_batches
from a2net_gluon.training.objective import Objective
from a2net_gluon.training.progress import Meter, Progress

CLASSES = 6


def make_batches(count=3, size=8, classes=CLASSES, valid=None):
    rng = np.random.default_rng(0)
    pixels = [mx.nd.array(rng.integers(0, 256, (size, 3, 16, 16)), dtype="uint8") for _ in range(count)]
    return [Batch(one, mx.nd.array(rng.integers(0, classes, size)), valid or size) for one in pixels]


def make_learner(contexts=(mx.cpu(),), norm=None, scaler=None, exchange=None, objective=None, **optimization):
    mx.random.seed(0)

    def make_net():
        net = get_model("a2net_resnet20_small", classes=CLASSES, norm_kwargs=norm)
        net.initialize(mx.init.MSRAPrelu(), ctx=list(contexts))
        net.hybridize(static_alloc=True, static_shape=True)
        return net

    objective = objective or Objective(CLASSES)
    optimization = Optimization(**optimization)
    return Learner(make_net, list(contexts), Preprocessing(16), objective, optimization, exchange, scaler)


def train(learner, batches, first_step=1, rate=0.1, on_step=lambda progress: None):
    """One epoch; returns its progress."""
    progress = Progress()
    learner.train_epoch(batches, progress, lambda step: rate, first_step, on_step)
    return progress


def parameters(net):
    return {name: parameter.data().asnumpy() for name, parameter in net.collect_params().items()}


def test_meter_counts_like_sorting():
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(40, 9)).astype("float32"), rng.integers(0, 9, 40)
    meter = Meter()
    for start in (0, 20):
        rows = slice(start, start + 20)
        parts = [mx.nd.array(half) for half in np.split(logits[rows], 2)]
        answers = [mx.nd.array(half) for half in np.split(labels[rows], 2)]
        losses = [mx.nd.ones(10), mx.nd.ones(10) * 3]
        meter.add(parts, losses, answers, 17)  # the last three are repetitions
    counted = np.r_[0:17, 20:37]
    order = np.argsort(-logits[counted], axis=1)
    hits = order == labels[counted][:, None]
    result = meter.result()
    assert meter.count == 34
    assert result["top1"] == pytest.approx(hits[:, :1].sum() / 34)
    assert result["top5"] == pytest.approx(hits[:, :5].sum() / 34)
    assert result["loss"] == pytest.approx((10 + 3 * 7) / 17)


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_a_broken_output_does_not_look_right(value):
    meter = Meter()
    meter.add([mx.nd.full((4, 9), value)], [mx.nd.zeros(4)], [mx.nd.array([0, 1, 2, 8])], 4)
    assert meter.result()["top5"] == 0


def test_step_is_nesterov_sgd_in_numpy():
    """Two steps against the formula, from the gradients of a network with the same parameters."""
    learner, rate, momentum, decay = make_learner(), 0.1, 0.9, 1e-4
    velocity = {}
    for step, batch in enumerate(make_batches(2), start=1):
        before = parameters(learner.net)
        twin = get_model("a2net_resnet20_small", classes=CLASSES)
        twin.initialize()
        for name, parameter in twin.collect_params().items():
            parameter.set_data(mx.nd.array(before[name]))
        with mx.autograd.record():
            logits = twin(Preprocessing(16).normalize(batch.pixels))
            loss = -mx.nd.log_softmax(logits).pick(batch.labels).mean()
        loss.backward()
        train(learner, [batch], step)
        after = parameters(learner.net)
        for name, parameter in twin.collect_params().items():
            if parameter.grad_req == "null":
                continue
            gradient = parameter.grad().asnumpy() + decay * before[name]
            velocity[name] = momentum * velocity.get(name, 0) + gradient
            expected = before[name] - rate * (gradient + momentum * velocity[name])
            np.testing.assert_allclose(after[name], expected, rtol=2e-3, atol=2e-5, err_msg=name)


def test_validation_leaves_training_alone():
    """Inference lets oneDNN rearrange weights in place; training on from there was not reproducible."""
    batches = make_batches()
    plain, measured = make_learner(), make_learner()
    for learner in (plain, measured):
        train(learner, batches)
        if learner is measured:
            learner.validate(batches)
        train(learner, batches, 4)
    for name, value in parameters(plain.net).items():
        np.testing.assert_array_equal(parameters(measured.net)[name], value)


def test_validation_measures_the_current_parameters():
    learner, batches = make_learner(), make_batches(valid=5)
    for epoch in range(2):
        train(learner, make_batches(), 1 + 3 * epoch)
        measured = learner.validate(batches)
        fresh = get_model("a2net_resnet20_small", classes=CLASSES)
        fresh.initialize()
        for name, parameter in fresh.collect_params().items():
            parameter.set_data(learner.net.collect_params()[name].data())
        expected = evaluate_batches(fresh, batches, learner.contexts, learner.preprocessing, CLASSES)
        assert measured["count"] == expected["count"] == 15
        assert measured["loss"] == pytest.approx(expected["loss"], rel=1e-4)
        assert measured["top1"] == expected["top1"]


def test_label_without_an_output():
    with pytest.raises(UsageError, match=f"the network has {CLASSES} classes"):
        train(make_learner(), make_batches(classes=40))


