"""Losses against NumPy in double precision."""

import mxnet as mx
import numpy as np
import pytest

from a2net_gluon.data import Preprocessing
from a2net_gluon.training.loss import Objective

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


def losses(objective, batch, share):
    pixels, labels, weight = batch
    arrays = (mx.nd.array(pixels, dtype="uint8"), mx.nd.array(labels))
    return objective.losses(linear(weight), Preprocessing(SIZE), *arrays, share)[1].asnumpy()


def expected(batch, share=1.0, smoothing=0.0):
    """Cross-entropy with mixed and smoothed targets; also the logits."""
    pixels, labels, weight = batch
    mean, scale = (np.array(values).reshape(1, 3, 1, 1) for values in (Preprocessing().mean, Preprocessing().scale))
    x = (pixels.astype(np.float64) - mean) * scale
    targets = np.eye(CLASSES)[labels] * (1 - smoothing) + smoothing / CLASSES
    x, targets = (share * array + (1 - share) * array[::-1] for array in (x, targets))
    logits = x.reshape(len(x), -1) @ weight
    return -(targets * log_softmax(logits)).sum(axis=1), logits


@pytest.mark.parametrize(
    ("options", "share", "smoothing"),
    [
        ({}, 1.0, 0.0),
        ({"label_smoothing": True}, 1.0, 0.1),
        ({"mixup_alpha": 0.2}, 0.3, 0.0),
        ({"mixup_alpha": 0.2, "label_smoothing": True}, 0.8, 0.1),
    ],
)
def test_cross_entropy(options, share, smoothing, batch):
    measured = losses(Objective(CLASSES, **options), batch, share)
    np.testing.assert_allclose(measured, expected(batch, share, smoothing)[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("share", [1.0, 0.6])
def test_distillation(share, batch):
    weight = np.random.default_rng(1).normal(size=batch[2].shape)
    other = Preprocessing(SIZE, mean=(100.0, 110.0, 120.0), scale=(0.01, 0.02, 0.03))
    teacher = lambda pixels, mix: linear(weight)(mix(other.normalize(pixels)))  # noqa: E731
    mixing = {"mixup_alpha": 0.2} if share < 1 else {}
    objective = Objective(CLASSES, teacher=teacher, temperature=4.0, hard_weight=0.3, **mixing)
    measured = losses(objective, batch, share)
    hard, logits = expected(batch, share)
    pixels = batch[0].astype(np.float64)
    x = (pixels - np.array(other.mean).reshape(1, 3, 1, 1)) * np.array(other.scale).reshape(1, 3, 1, 1)
    x = share * x + (1 - share) * x[::-1]
    soft = np.exp(log_softmax(x.reshape(len(x), -1) @ weight / 4))
    taught = -(soft * log_softmax(logits / 4)).sum(axis=1)
    np.testing.assert_allclose(measured, 0.3 * hard + 0.7 * 16 * taught, rtol=1e-4)


def test_shares_are_a_function_of_seed_and_step():
    one, other = (Objective(CLASSES, mixup_alpha=0.2, mixup_steps=100, seed=seed) for seed in (0, 1))
    shares = [one.share(step) for step in range(1, 100)]
    assert shares == [one.share(step) for step in range(1, 100)]
    assert shares != [other.share(step) for step in range(1, 100)]
    assert all(0 <= share <= 1 for share in shares)
    assert len(set(shares)) == 99
    assert one.share(100) == 1.0
    assert Objective(CLASSES).share(1) == 1.0


def test_labels_that_are_counted():
    labels, objective = mx.nd.array([0, 1, 2]), Objective(CLASSES, mixup_alpha=0.2)
    assert objective.counted_labels(labels, 0.6).asnumpy().tolist() == [0, 1, 2]
    assert objective.counted_labels(labels, 0.4).asnumpy().tolist() == [2, 1, 0]
