"""Schedules against their formulas, step by step; lengths and decays in epochs and in iterations."""

import math

import pytest

from a2net_gluon.errors import UsageError
from a2net_gluon.settings import Schedule
from a2net_gluon.training.schedules import Length, Plateau, make_schedule, warmup_steps

EIGHT_EPOCHS = Length(80, 10)


def schedule(mode, length=EIGHT_EPOCHS, **changes):
    decays = {} if {"decay_iterations", "decay_period"} & {*changes} else {"decay_epochs": [3, 5]}
    warmup = {} if "warmup_iterations" in changes else {"warmup_epochs": 0}
    return make_schedule(Schedule(mode, **{"decay": 0.1, "warmup_lr": 0.0, **decays, **warmup, **changes}), 0.4, length)


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
        ({"decay_iterations": [20, 20]}, r"decay iterations are \[20, 20\]; they must rise, from 1 on"),
        ({"warmup_iterations": 80}, "the warm-up has 80 iterations, the run 80: the warm-up must be shorter"),
    ],
)
def test_bad_schedules(changes, message):
    with pytest.raises(UsageError, match=message):
        schedule("step", **changes)


def test_warm_up_of_one_iteration():
    """GluonCV's scheduler divides by zero here."""
    for mode in ("step", "cosine", "poly", "plateau"):
        chosen = Schedule(mode, 0.1, [3], plateau_patience=2, plateau_threshold=0.01, warmup_lr=0.2, warmup_epochs=1)
        assert make_schedule(chosen, 0.4, Length(5, 1))(1) == pytest.approx(0.4)
        assert make_schedule(chosen, 0.4, Length(10, 2))(1) == pytest.approx(0.3)


def test_the_papers_ablation_schedule():
    """Section 3.2: 0.2, x0.1 after 20k and 30k iterations, 37k in all; here after a warm-up of 1,500."""
    options = Schedule("step", 0.1, decay_iterations=[20_000, 30_000], warmup_iterations=1500, warmup_lr=0.02)
    rate = make_schedule(options, 0.2, Length(37_000, 468))
    steps = (750, 1500, 20_000, 20_001, 30_000, 30_001, 37_000)
    assert [rate(step) for step in steps] == pytest.approx([0.11, 0.2, 0.2, 0.02, 0.02, 0.002, 0.002])


@pytest.mark.parametrize("mode", ["step", "cosine", "poly"])
def test_epochs_are_as_many_iterations(mode):
    epochs = schedule(mode, decay_epochs=[3, 5], warmup_epochs=2)
    iterations = schedule(mode, decay_iterations=[30, 50], warmup_iterations=20)
    assert [epochs(step) for step in range(1, 81)] == [iterations(step) for step in range(1, 81)]


@pytest.mark.parametrize("steps", [73, 7])
def test_the_rate_is_0_in_the_last_step_of_a_run_that_ends_within_an_epoch(steps):
    length = Length(steps, 10)
    cosine, poly = schedule("cosine", length), schedule("poly", length)
    for step in (1, steps // 2, steps - 1):
        assert cosine(step) == pytest.approx(0.2 * (1 + math.cos(math.pi * step / steps)))
        assert poly(step) == pytest.approx(0.4 * (1 - step / steps) ** 2)
    assert cosine(steps) == pytest.approx(0, abs=1e-12)
    assert poly(steps) == pytest.approx(0, abs=1e-12)


def test_a_period_reaches_into_a_short_epoch():
    rate = schedule("step", Length(73, 10), decay_period=3)
    assert [rate(step) for step in (30, 31, 60, 61, 73)] == pytest.approx([0.4, 0.04, 0.04, 0.004, 0.004])


@pytest.mark.parametrize(
    ("length", "epochs", "words"),
    [
        (Length(80, 10), [10] * 8, "8 epochs of 10 steps"),
        (Length(73, 10), [10] * 7 + [3], "8 epochs of 10 steps, the last one of 3"),
        (Length(7, 10), [7], "1 epochs of 10 steps, the last one of 7"),
    ],
)
def test_the_steps_of_all_epochs_are_those_of_the_run(length, epochs, words):
    assert [length.steps_of(number) for number in range(1, length.epochs + 1)] == epochs
    assert sum(epochs) == length.steps
    assert length.steps_of(length.epochs + 1) == 0
    assert length.in_words == words


def test_warm_up_in_steps():
    assert warmup_steps(Schedule(warmup_epochs=2), EIGHT_EPOCHS) == 20
    assert warmup_steps(Schedule(warmup_iterations=7), EIGHT_EPOCHS) == 7
    assert warmup_steps(Schedule(), EIGHT_EPOCHS) == 0


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
