import math

import pytest

from a2net_gluon.errors import UsageError
from a2net_gluon.settings import Schedule
from a2net_gluon.training.schedules import Plateau, make_schedule


def schedule(mode, **changes):
    chosen = {"decay": 0.1, "decay_epochs": [3, 5], "warmup_epochs": 0, "warmup_lr": 0.0, **changes}
    return make_schedule(Schedule(mode, **chosen), 0.4, epochs=8, steps_per_epoch=10)


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


def test_warm_up_of_one_iteration():
    """GluonCV's scheduler divides by zero here."""
    for mode in ("step", "cosine", "poly", "plateau"):
        chosen = Schedule(mode, 0.1, [3], plateau_patience=2, plateau_threshold=0.01, warmup_lr=0.2, warmup_epochs=1)
        assert make_schedule(chosen, 0.4, 5, 1)(1) == pytest.approx(0.4)
        assert make_schedule(chosen, 0.4, 5, 2)(1) == pytest.approx(0.3)


def reference_drops(accuracies, patience, threshold):
    """Go back from each epoch to the last one that was better than all before it by the threshold."""
    drops, best, waited = 0, -1.0, 0
    for accuracy in accuracies:
        if accuracy - best > threshold:
            best, waited = accuracy, 0
            continue
        waited += 1
        if waited == patience:
            drops += 1
            waited = 0
    return drops


@pytest.mark.parametrize(
    ("accuracies", "drops"),
    [
        ([], 0),
        ([0.1, 0.2, 0.3, 0.4], 0),
        ([0.1, 0.2, 0.2, 0.2], 1),  # two epochs no better than the second
        ([0.1, 0.2, 0.2, 0.3, 0.3], 0),  # better in time
        ([0.5, 0.505, 0.509, 0.6], 1),  # better, but by less than the threshold
        ([0.5, 0.505, 0.512, 0.6], 0),  # small steps that add up
        ([0.5] + [0.4] * 6, 3),  # patience starts anew after each drop
    ],
)
def test_plateau(accuracies, drops):
    assert Plateau(2, 0.01).drops(accuracies) == drops == reference_drops(accuracies, 2, 0.01)
    rate = schedule("plateau", plateau_patience=2, plateau_threshold=0.01, warmup_epochs=1)
    assert rate(60, accuracies) == pytest.approx(0.4 * 0.1**drops)
    assert rate(5, accuracies) == pytest.approx(0.2 * 0.1**drops)
