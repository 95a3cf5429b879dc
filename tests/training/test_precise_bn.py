"""BN's statistics on batches, against the inputs of its layers in NumPy; and the runs that measure them."""

import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd, gluon

from a2net_gluon import get_model
from a2net_gluon.data import Preprocessing
from a2net_gluon.distributed.communicator import Communicator
from tests.helpers.learners import (
    CLASSES,
    FILE_NAMES,
    make_batches,
    make_clip_learner,
    make_learner,
    parameters,
)
from tests.helpers.learners import (
    train as train_on,
)
from tests.helpers.runs import arrays, epochs
from tests.helpers.twins import clips


def inputs_of_bn(net, values, parts):
    """The inputs of each BN for each part of a batch, (parts, N · locations, c), computed operator by operator.

    The network gets the parameters `values`, and normalizes each part by the part's own statistics.
    """
    named = getattr(net, FILE_NAMES)()
    net.initialize(force_reinit=True)
    for name, parameter in named.items():
        parameter.set_data(mx.nd.array(values[name]))
    layers = {id(parameter): name.rpartition(".")[0] for name, parameter in named.items()}
    seen = {}

    def note(layer):
        def hook(block, inputs):
            channels_last = np.moveaxis(inputs[0].asnumpy().astype(np.float64), 1, -1)
            seen.setdefault(layer, []).append(channels_last.reshape(-1, channels_last.shape[-1]))

        return hook

    def watch(block):
        if isinstance(block, gluon.nn.BatchNorm):
            block.register_forward_pre_hook(note(layers[id(block.running_mean)]))

    net.apply(watch)
    for part in parts:
        with autograd.train_mode():
            net(Preprocessing(16).normalize(part))
    return {layer: np.stack(each) for layer, each in seen.items()}


def assert_statistics(values, inputs):
    """Compare running statistics with the mean and the variance over all parts."""
    names = [name for name in values if "running" in name]
    assert len(names) == 2 * len(inputs) > 20
    for name in names:
        layer, _, which = name.rpartition(".")
        each = inputs[layer].reshape(-1, inputs[layer].shape[-1])
        expected = each.mean(0) if which == "running_mean" else each.var(0)
        np.testing.assert_allclose(values[name], expected, rtol=1e-4, atol=1e-4 * each.std(0).max(), err_msg=name)


def fading_batches(count=3, **shape):
    """Batches that become darker and darker, so that their means differ."""
    batches = make_batches(count, **shape)
    for number, batch in enumerate(batches):
        batch.pixels[:] = (batch.pixels.astype("float32") / (number + 1)).astype("uint8")
    return batches


def image_net():
    return get_model("a2net_resnet20_small", classes=CLASSES)


def clip_net():
    return clips(temporal=(3, 3, 1), classes=CLASSES)


def halves(batches):
    return [half for batch in batches for half in mx.nd.split(batch.pixels, 2, axis=0)]


def whole(batches):
    return [batch.pixels for batch in batches]


@pytest.mark.parametrize(
    ("make", "twin", "frames", "parts_of"),
    [
        (make_learner, image_net, (), whole),
        (lambda: make_learner([mx.cpu(0), mx.cpu(1)]), image_net, (), halves),
        (make_clip_learner, clip_net, (4,), whole),
    ],
    ids=["images", "two contexts", "clips"],
)
def test_statistics_are_those_of_the_inputs_over_all_batches(make, twin, frames, parts_of):
    learner, batches = make(), fading_batches(frames=frames)
    train_on(learner, batches[:2])
    before = parameters(learner.net, FILE_NAMES)
    learner.measure_running_statistics(iter(batches))
    after = parameters(learner.net, FILE_NAMES)
    assert_statistics(after, inputs_of_bn(twin(), before, parts_of(batches)))
    for name, value in before.items():
        if "running" not in name:
            np.testing.assert_array_equal(after[name], value, err_msg=name)


class OtherProcess(Communicator):
    """A job of two processes, of which the other one answers with the values of `answers`, one list at each meeting."""

    def __init__(self, answers):
        super().__init__()
        self._answers = iter(answers)

    def average(self, arrays):
        others = next(self._answers)
        assert len(others) == len(arrays)
        for array, other in zip(arrays, others):
            array[:] = (array + mx.nd.array(other)) / 2


def test_statistics_are_those_of_all_processes():
    """The other process has the second half of the batches; what it says at each meeting is computed in NumPy."""
    learner, batches = make_learner(), fading_batches(4)
    layers = inputs_of_bn(image_net(), parameters(learner.net, FILE_NAMES), whole(batches))
    means = {layer: each[2:].mean((0, 1)) for layer, each in layers.items()}
    squares = {layer: ((each[2:] - each.mean((0, 1))) ** 2).mean((0, 1)) for layer, each in layers.items()}
    learner.communicator = OtherProcess([[*means.values()], [*squares.values()]])
    learner.measure_running_statistics(iter(batches[:2]))
    assert_statistics(parameters(learner.net, FILE_NAMES), layers)


def test_the_average_of_the_weights_has_statistics_of_its_own():
    learner, batches = make_learner(ema=0.5), fading_batches()
    train_on(learner, batches)
    network = parameters(learner.net, FILE_NAMES)
    averages = {name: array.asnumpy() for name, array in learner.average.arrays.items()}
    learner.measure_running_statistics(iter(batches), average=True)
    measured = {name: array.asnumpy() for name, array in learner.average.arrays.items()}
    assert_statistics(measured, inputs_of_bn(image_net(), averages, whole(batches)))
    for name, value in parameters(learner.net, FILE_NAMES).items():
        np.testing.assert_array_equal(value, network[name], err_msg=name)


def test_without_a_batch_nothing_changes():
    """As after a signal."""
    learner = make_learner()
    before = parameters(learner.net)
    learner.measure_running_statistics(iter(()))
    for name, value in parameters(learner.net).items():
        np.testing.assert_array_equal(value, before[name], err_msg=name)


def test_weights_of_a_run_stay_as_they_are_and_what_is_evaluated_is_saved(train):
    flags = ("--input-size", 8, "--ema", 0.5)
    run, _ = train(*flags, "--precise-bn", 3, name="precise")
    other, _ = train(*flags, name="usual")
    last = "checkpoints/epoch-0002"
    for file in ("net.params", "ema.params", "optimizer.params"):
        measured, usual = (arrays(folder / last / file) for folder in (run, other))
        for name, value in usual.items():
            assert np.array_equal(measured[name], value) == ("running" not in name), (file, name)
    for file, column in (("best.params", "val_top1"), ("best-ema.params", "val_ema_top1")):
        best = max(float(row[column]) for row in epochs(run))
        _, said = train(*flags, "--evaluate", "--resume-params", run / file)
        assert f"top-1 {100 * best:.1f} %" in said
