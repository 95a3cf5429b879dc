"""Losses against NumPy in double precision."""

import mxnet as mx
import numpy as np
import pytest

from a2net_gluon import settings
from a2net_gluon.data import Preprocessing
from a2net_gluon.training.loss import ClassificationLoss, mix

CLASSES, SIZE = 5, 4


def log_softmax(x):
    x = x - x.max(axis=1, keepdims=True)
    return x - np.log(np.exp(x).sum(axis=1, keepdims=True))


@pytest.fixture
def batch():
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (6, 3, SIZE, SIZE)).astype(np.uint8)
    return pixels, rng.integers(0, CLASSES, 6), rng.normal(size=(3 * SIZE * SIZE, CLASSES))


def linear(weight):
    return lambda x: mx.nd.dot(x.reshape((0, -1)), mx.nd.array(weight))


def make_loss(mixup_steps=0, seed=0, **options):
    return ClassificationLoss(CLASSES, settings.Loss(**options), mixup_steps, seed)


def losses(loss, batch, ratio, taught=None):
    """Losses of a linear network, as the training step computes them; `taught` are a teacher's logits."""
    pixels, labels, weight = batch
    inputs = mix(Preprocessing(SIZE).normalize(mx.nd.array(pixels, dtype="uint8")), ratio)
    targets = loss.targets(mx.nd.array(labels), ratio)
    soft = None if taught is None else loss.soft_targets(taught)
    return loss(linear(weight)(inputs), targets, soft).asnumpy()


def expected(batch, ratio=1.0, smoothing=0.0):
    """Cross-entropy with mixed and smoothed targets; also the logits."""
    pixels, labels, weight = batch
    mean, scale = (np.array(values).reshape(1, 3, 1, 1) for values in (Preprocessing().mean, Preprocessing().scale))
    x = (pixels.astype(np.float64) - mean) * scale
    targets = np.eye(CLASSES)[labels] * (1 - smoothing) + smoothing / CLASSES
    x, targets = (ratio * array + (1 - ratio) * array[::-1] for array in (x, targets))
    logits = x.reshape(len(x), -1) @ weight
    return -(targets * log_softmax(logits)).sum(axis=1), logits


@pytest.mark.parametrize(
    ("options", "ratio", "smoothing"),
    [
        ({}, 1.0, 0.0),
        ({"label_smoothing": True}, 1.0, 0.1),
        ({"mixup": True}, 0.3, 0.0),
        ({"mixup": True, "label_smoothing": True}, 0.8, 0.1),
    ],
)
def test_cross_entropy(options, ratio, smoothing, batch):
    measured = losses(make_loss(**options), batch, ratio)
    np.testing.assert_allclose(measured, expected(batch, ratio, smoothing)[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("ratio", [1.0, 0.6])
def test_distillation(ratio, batch):
    weight = np.random.default_rng(1).normal(size=batch[2].shape)
    other = Preprocessing(SIZE, mean=(100.0, 110.0, 120.0), scale=(0.01, 0.02, 0.03))
    taught = linear(weight)(mix(other.normalize(mx.nd.array(batch[0], dtype="uint8")), ratio))
    loss = make_loss(teacher="best.params", temperature=4.0, hard_weight=0.3, mixup=ratio < 1)
    measured = losses(loss, batch, ratio, taught)
    hard, logits = expected(batch, ratio)
    pixels = batch[0].astype(np.float64)
    x = (pixels - np.array(other.mean).reshape(1, 3, 1, 1)) * np.array(other.scale).reshape(1, 3, 1, 1)
    x = ratio * x + (1 - ratio) * x[::-1]
    soft = np.exp(log_softmax(x.reshape(len(x), -1) @ weight / 4))
    distilled = -(soft * log_softmax(logits / 4)).sum(axis=1)
    np.testing.assert_allclose(measured, 0.3 * hard + 0.7 * 16 * distilled, rtol=1e-4)


def test_ratios_are_a_function_of_seed_and_step():
    one, other = (make_loss(mixup=True, mixup_steps=100, seed=seed) for seed in (0, 1))
    ratios = [one.mixing_ratio(step) for step in range(1, 100)]
    assert ratios == [one.mixing_ratio(step) for step in range(1, 100)]
    assert ratios != [other.mixing_ratio(step) for step in range(1, 100)]
    assert all(0 <= ratio <= 1 for ratio in ratios)
    assert len(set(ratios)) == 99
    assert one.mixing_ratio(100) == 1.0
    assert make_loss().mixing_ratio(1) == 1.0


def test_labels_that_are_counted():
    labels, loss = mx.nd.array([0, 1, 2]), make_loss(mixup=True)
    assert loss.counted_labels(labels, 0.6).asnumpy().tolist() == [0, 1, 2]
    assert loss.counted_labels(labels, 0.4).asnumpy().tolist() == [2, 1, 0]
