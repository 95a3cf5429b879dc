import json
from types import SimpleNamespace

import mxnet as mx
import numpy as np
import pytest

from a2net_gluon import get_model
from a2net_gluon.data import Preprocessing
from a2net_gluon.errors import FailureError, UsageError
from a2net_gluon.mxnet_fixes import all_finite
from a2net_gluon.training import progress as progress_module
from a2net_gluon.training.learner import evaluate_batches
from a2net_gluon.training.metrics import ClassificationMeter
from a2net_gluon.training.optimizer_state import load_optimizer, save_optimizer
from a2net_gluon.training.progress import Progress
from a2net_gluon.training.scaling import LossScaler
from tests.helpers.learners import CLASSES, FILE_NAMES, make_batches, make_learner, parameters, train


def test_meter_counts_like_sorting():
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(40, 9)).astype("float32"), rng.integers(0, 9, 40)
    meter = ClassificationMeter()
    for start in (0, 20):
        rows = slice(start, start + 20)
        parts = [mx.nd.array(half) for half in np.split(logits[rows], 2)]
        answers = [mx.nd.array(half) for half in np.split(labels[rows], 2)]
        losses = [mx.nd.ones(10), mx.nd.ones(10) * 3]
        meter.add(parts, losses, answers, 17)  # the last three are repetitions
    counted = np.r_[0:17, 20:37]
    order = np.argsort(-logits[counted], axis=1)
    hits = order == labels[counted][:, None]
    meter.sums()  # waits for the last batch
    result = meter.metrics
    assert meter.count == 34
    assert result["top1"] == pytest.approx(hits[:, :1].sum() / 34)
    assert result["top5"] == pytest.approx(hits[:, :5].sum() / 34)
    assert result["loss"] == pytest.approx((10 + 3 * 7) / 17)


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_a_broken_output_does_not_look_right(value):
    meter = ClassificationMeter()
    meter.add([mx.nd.full((4, 9), value)], [mx.nd.zeros(4)], [mx.nd.array([0, 1, 2, 8])], 4)
    meter.sums()
    assert meter.metrics["top5"] == 0


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
            # By the length of the step: rounding turns a ReLU here and there, and with it single gradients.
            error, moved = (np.linalg.norm(other - expected) for other in (after[name], before[name]))
            assert error <= 0.01 * moved, name


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
        assert measured.count == expected.count == 15
        assert measured.metrics["loss"] == pytest.approx(expected.metrics["loss"], rel=1e-4)
        assert measured.metrics["top1"] == expected.metrics["top1"]


def test_label_without_an_output():
    with pytest.raises(UsageError, match=f"the network has {CLASSES} classes"):
        train(make_learner(), make_batches(classes=40))


def poison(learner, steps):
    """Put an infinity into a gradient at each of `steps`, counted from 1, after the gradients are added up."""
    add_up, count = learner.trainer.allreduce_grads, iter(range(1, 1000))

    def poisoned():
        add_up()
        if next(count) in steps:
            parameter = learner.net.output.weight
            for gradient in parameter.list_grad():
                gradient[0, 0] = np.inf

    learner.trainer.allreduce_grads = poisoned


def test_overflow_skips_the_step_and_halves_the_scale():
    learner = make_learner(scaler=LossScaler(2.0**10, window=3))
    poison(learner, {2})
    scales, weights = [], [parameters(learner.net)]

    def note(progress):
        scales.append(learner.scaler.scale)
        weights.append(parameters(learner.net))

    progress = train(learner, make_batches(6), on_step=note)
    assert scales == [1024, 512, 512, 512, 1024, 1024]  # halved by the second step, doubled after three good ones
    assert progress.skipped_steps == 1
    assert progress.meter.count == 5 * 8
    changed = [
        any((after[name] != before[name]).any() for name in before if "running" not in name)
        for before, after in zip(weights, weights[1:])
    ]
    assert changed == [True, False, True, True, True, True]


def test_scaled_loss_gives_the_same_step():
    plain, scaled = make_learner(), make_learner(scaler=LossScaler(2.0**10))
    for learner in (plain, scaled):
        train(learner, make_batches())
    for name, value in parameters(plain.net).items():
        np.testing.assert_allclose(parameters(scaled.net)[name], value, rtol=1e-4, atol=1e-6, err_msg=name)


def test_bad_steps_are_left_out_up_to_a_number():
    learner = make_learner(skip_bad_steps=2)
    poison(learner, {2, 3, 5})
    assert train(learner, make_batches(6)).skipped_steps == 3
    learner = make_learner(skip_bad_steps=2)
    poison(learner, {2, 3, 4})
    with pytest.raises(FailureError, match="gradients of 3 consecutive steps, up to step 4, are not finite"):
        train(learner, make_batches(6))


def test_scale_that_cannot_help():
    scaler = LossScaler(2.0, window=10)
    for _ in range(2):
        scaler.update(finite=False)
    assert scaler.exhausted
    fixed = LossScaler(1.0, None)
    fixed.update(finite=False)
    assert (fixed.scale, fixed.exhausted) == (1.0, False)


def test_divergence_stops_training():
    with pytest.raises(FailureError, match="loss is not finite any more"):
        train(make_learner(), make_batches(9), rate=1e30)


def test_half_precision_update_keeps_float32_master_weights(tmp_path):
    """The update of float16 parameters runs on the CPU, though convolutions do not."""

    def make():
        net = mx.gluon.nn.Dense(3, in_units=4, use_bias=False, prefix="half_")
        net.initialize(mx.init.One())
        net.cast("float16")
        options = {"momentum": 0.9, "learning_rate": 0.1, "multi_precision": True}
        return net, mx.gluon.Trainer(net.collect_params(), "nag", options, kvstore=None, update_on_kvstore=False)

    def step(net, trainer):
        x = mx.nd.array([[1e-3, 2e-3, 3e-3, 4e-3]], dtype="float16")
        with mx.autograd.record():
            loss = (net.weight.data() * x).sum()
        loss.backward()
        trainer.update(1)

    net, trainer = make()
    for _ in range(3):
        step(net, trainer)
    save_optimizer(trainer, tmp_path / "optimizer.params")
    saved = mx.nd.load(str(tmp_path / "optimizer.params"))
    assert {array.dtype for array in saved.values()} == {np.float32}
    again, restored = make()
    again.weight.set_data(net.weight.data())
    load_optimizer(restored, tmp_path / "optimizer.params")
    for one in ((net, trainer), (again, restored)):
        step(*one)
    np.testing.assert_array_equal(net.weight.data().asnumpy(), again.weight.data().asnumpy())
    master = trainer._updaters[0].states[0][1].asnumpy()
    np.testing.assert_array_equal(master, restored._updaters[0].states[0][1].asnumpy())
    assert (master != net.weight.data().asnumpy()).any()  # finer than float16


def test_no_decay_for_biases_and_bn():
    decayed = make_learner(no_wd=True)
    factors = {name: parameter.wd_mult for name, parameter in decayed.net.collect_params().items()}
    trained = {name: factor for name, factor in factors.items() if "running" not in name}
    assert {name for name, factor in trained.items() if factor} == {name for name in trained if "weight" in name}


def test_clipping_limits_each_value():
    learner = make_learner(clip_gradient=1e-4, momentum=0.0, wd=0.0)
    before = parameters(learner.net)
    train(learner, make_batches(1))
    steps = [np.abs(value - before[name]).max() for name, value in parameters(learner.net).items() if "weight" in name]
    assert max(steps) <= 0.1 * 1e-4 * 1.01
    assert max(steps) >= 0.1 * 1e-4 * 0.99


def test_averaged_weights_against_numpy():
    learner = make_learner(ema=0.3)
    expected = {name: value.astype(np.float64) for name, value in parameters(learner.net, FILE_NAMES).items()}
    steps = iter(range(1, 10))

    def follow(progress):
        step = next(steps)
        decay = min(0.3, (1 + step) / (10 + step))
        for name, value in parameters(learner.net, FILE_NAMES).items():
            expected[name] = decay * expected[name] + (1 - decay) * value

    train(learner, make_batches(4), on_step=follow)
    for name, value in expected.items():
        np.testing.assert_allclose(learner.average.arrays[name].asnumpy(), value, rtol=2e-6, atol=1e-7, err_msg=name)
    raw, averaged = (learner.validate(make_batches(), average) for average in (False, True))
    assert raw.metrics["loss"] != averaged.metrics["loss"]


def test_frozen_bn_keeps_its_statistics():
    learner = make_learner(norm={"use_global_stats": True})
    before = parameters(learner.net)
    train(learner, make_batches(2))
    for name, value in parameters(learner.net).items():
        if "running" in name:
            np.testing.assert_array_equal(value, before[name])


def test_epoch_goes_on_where_it_was_stopped():
    """Half an epoch, its progress through JSON, and the rest: the same as at once."""
    whole, halves = make_learner(), make_learner()
    batches = make_batches(6)
    expected = train(whole, batches).meter.sums()
    progress = Progress()
    halves.train_epoch(batches, progress, lambda step: 0.1, 1, lambda progress: progress.batches == 3)
    assert progress.batches == 3
    progress = Progress(json.loads(json.dumps(progress.state())))
    halves.train_epoch(batches[3:], progress, lambda step: 0.1, 1, lambda progress: None)
    assert progress.meter.sums() == expected
    for name, value in parameters(whole.net).items():
        np.testing.assert_array_equal(parameters(halves.net)[name], value)


def test_waiting_for_data_is_measured(monkeypatch):
    """By a clock that goes on by 3 s for every batch that is read, and by 1 s for every step of training."""
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(progress_module, "time", SimpleNamespace(monotonic=lambda: clock.now))

    def slowly():
        for batch in make_batches(4):
            clock.now += 3
            yield batch

    def goes_on(progress):
        clock.now += 1

    assert train(make_learner(), slowly(), on_step=goes_on).data_wait == 12 / 16


@pytest.mark.parametrize("bad", [None, 0, 199, 200, 449])
def test_gradients_of_large_networks_are_looked_at(bad):
    """MXNet's operator crashes with more than 200 arrays; the paper's network has 223."""
    arrays = [mx.nd.ones(3, dtype="float16" if number % 3 == 0 else "float32") for number in range(450)]
    if bad is not None:
        arrays[bad][1] = np.nan
    assert all_finite(arrays) == (bad is None)


def test_bad_batch_leaves_the_running_statistics_alone(monkeypatch):
    plain, learner = make_learner(skip_bad_steps=1), make_learner(skip_bad_steps=1)
    batches = make_batches(4)
    train(plain, [batches[0], batches[2], batches[3]])
    normalize, calls = Preprocessing.normalize, iter(range(100))
    monkeypatch.setattr(
        Preprocessing, "normalize", lambda self, pixels: normalize(self, pixels) * (np.nan if next(calls) == 1 else 1)
    )
    assert train(learner, batches).skipped_steps == 1
    for name, value in parameters(plain.net).items():
        np.testing.assert_array_equal(parameters(learner.net)[name], value, err_msg=name)
