import math

import pytest

from a2net_gluon.errors import UsageError
from a2net_gluon.training.schedules import make_schedule


def schedule(mode, **changes):
    arguments = {"decay": 0.1, "decay_epochs": [3, 5], "warmup_epochs": 0, "warmup_lr": 0.0, **changes}
    return make_schedule(mode, 0.4, arguments.pop("epochs", 8), 10, **arguments)


def test_steps():
    rates = [schedule("step")(step) for step in (1, 30, 31, 50, 51, 80)]
    assert rates == pytest.approx([0.4, 0.4, 0.04, 0.04, 0.004, 0.004])


def test_cosine_and_poly_from_start_to_end():
    cosine, poly = schedule("cosine"), schedule("poly")
    for step in (1, 20, 40, 79):
        assert cosine(step) == pytest.approx(0.2 * (1 + math.cos(math.pi * step / 80)))
        assert poly(step) == pytest.approx(0.4 * (1 - step / 80) ** 2)
    assert cosine(80) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("mode", ["step", "cosine", "poly"])
def test_warm_up_is_linear(mode):
    rate = schedule(mode, warmup_epochs=2, warmup_lr=0.1)
    assert [rate(step) for step in (5, 10, 15)] == pytest.approx([0.175, 0.25, 0.325])
    assert rate(20) == pytest.approx(0.4)


@pytest.mark.parametrize("mode", ["step", "cosine", "poly"])
def test_a_resumed_run_finds_the_same_rate(mode):
    uninterrupted = schedule(mode, warmup_epochs=1)
    rates = [uninterrupted(step) for step in range(1, 81)]
    resumed = schedule(mode, warmup_epochs=1)
    assert [resumed(step) for step in range(41, 81)] == rates[40:]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"warmup_epochs": 8}, "warm-up must be shorter"),
        ({"warmup_lr": 0.5}, "starts at 0.5, above"),
        ({"decay_epochs": [5, 3]}, "must rise"),
        ({"decay_epochs": []}, "must rise"),
        ({"decay_epochs": [0, 2]}, "must rise, from 1"),
    ],
)
def test_bad_schedules(changes, message):
    with pytest.raises(UsageError, match=message):
        schedule("step", **changes)
