"""Runs whose length, warm-up and decays are counted in iterations; an epoch has eight of them here."""

import pytest

from a2net_gluon import settings
from a2net_gluon.training import run as run_module
from a2net_gluon.training.assembly import make_loss
from a2net_gluon.training.schedules import Length
from tests.helpers.runs import arrays, assert_same_end, epochs, stopping_source

LENGTH = ("--num-iterations", 11)
SMALL = ("--input-size", 8)  # what the digits have


def test_a_run_ends_within_an_epoch(train):
    flags = (
        *SMALL,
        "--lr-mode",
        "step",
        "--lr",
        0.04,
        "--lr-decay-iterations",
        "9,10",
        "--save-frequency",
        5,
        "--ema",
        0.5,
    )
    run, said = train(*flags, length=LENGTH)
    assert "11 iterations: 2 epochs of 8 steps, the last one of 3" in said
    assert "epoch 2/2: training loss" in said
    assert [float(row["learning_rate"]) for row in epochs(run)] == pytest.approx([0.04, 0.0004])
    state = run / "checkpoints" / "epoch-0002"  # saved in spite of the frequency: it is the last
    assert (state / "state.json").exists()
    _, said = train(*flags, "--resume", length=LENGTH)
    assert "resumed from" in said
    assert len(epochs(run)) == 2  # nothing was left to do


def test_epochs_and_as_many_iterations_are_the_same_run(train):
    """With a cosine, a warm-up and mixup, all of which are counted from the beginning or the end of the run."""
    flags = (*SMALL, "--lr-mode", "cosine", "--mixup", "--mixup-off-epoch", 1)
    train(*flags, name="epochs", length=("--num-epochs", 2, "--warmup-epochs", 1))
    one, _ = train(*flags, name="iterations", length=("--num-iterations", 16, "--warmup-iterations", 8))
    assert_same_end(one.parent / "epochs", one)


STATEFUL = ("--accumulate", 2, "--lr-mode", "poly", "--mixup", "--ema", 0.5, "--precise-bn", 2)


@pytest.mark.parametrize(
    ("iterations", "more", "stops"),
    [
        (11, (), [(10, "epoch-0001-batch-000002")]),
        # The statistics of BN are measured on two more batches, twice, at the end of an epoch of eight.
        (6, STATEFUL, [(9, "epoch-0000-batch-000008"), (14, "epoch-0001-batch-000002")]),
    ],
)
def test_a_stopped_run_ends_like_an_uninterrupted_one(iterations, more, stops, train, monkeypatch):
    """Stopped in the second epoch, which is cut short, and while the statistics of BN are measured."""
    flags = (*SMALL, *more)
    length = ("--num-iterations", iterations)
    train(*flags, name="whole", length=length)
    for batches, place in stops:
        name = f"stopped-{batches}"
        with monkeypatch.context() as patch:
            patch.setattr(run_module, "open_source", stopping_source(run_module.open_source, batches))
            _, said = train(*flags, name=name, length=length, code=143)
        assert f"checkpoints/{place}: --resume continues there" in said
        run, said = train(*flags, "--resume", name=name, length=length)
        assert "resumed from" in said
        assert "the epoch starts again" not in said
        assert_same_end(run.parent / "whole", run)


def test_resumed_with_another_number_of_iterations(train, monkeypatch):
    """The epoch goes on where it was stopped, also if its end has moved; it ends at once if it is past it."""
    with monkeypatch.context() as patch:
        patch.setattr(run_module, "open_source", stopping_source(run_module.open_source, 4))
        train(*SMALL, length=("--num-iterations", 11), code=143)
    run, said = train(*SMALL, "--resume", length=("--num-iterations", 2))
    assert "--num-iterations is 2, was 11 when this run was last started" in said
    assert "the epoch starts again" not in said
    before = arrays(run / "checkpoints" / "epoch-0000-batch-000004" / "net.params")
    for name, array in arrays(run / "checkpoints" / "epoch-0001" / "net.params").items():
        assert (array == before[name]).all()
    assert [row["epoch"] for row in epochs(run)] == ["1"]
    _, said = train(*SMALL, "--resume", length=("--num-iterations", 10))
    assert [row["epoch"] for row in epochs(run)] == ["1", "2"]


def test_an_epoch_that_is_cut_short_is_one_of_the_last_without_mixup():
    training = settings.Training(iterations=11, loss=settings.Loss(mixup=True, mixup_off_epochs=1))
    loss = make_loss(training, 10, Length(11, 8))
    assert [loss.mixing_ratio(step) < 1 for step in range(1, 12)] == [True] * 8 + [False] * 3


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--num-iterations", 11, "--warmup-epochs", 2), "the warm-up has 16 iterations, the run 11"),
        (("--num-iterations", 11, "--warmup-iterations", 11), "the warm-up has 11 iterations, the run 11"),
        (("--num-epochs", 1, "--precise-bn", 9), "--precise-bn is 9, an epoch has 8 batches: lower it"),
    ],
)
def test_lengths_that_do_not_fit(flags, message, train):
    _, said = train(*SMALL, code=2, length=flags)
    assert message in said
    assert said.count("\n") == 1


def test_epochs_done_before_leave_nothing(train):
    run, _ = train(*SMALL, length=("--num-iterations", 1))
    flags = (*SMALL, "--resume-params", run / "best.params", "--resume-epoch", 2)
    _, said = train(*flags, name="second", code=2, length=("--num-iterations", 16))
    assert "--resume-epoch is 2, that is 16 iterations, --num-iterations 16: nothing is left" in said
    second, _ = train(*flags, name="third", length=("--num-iterations", 17))
    assert [row["epoch"] for row in epochs(second)] == ["3"]
