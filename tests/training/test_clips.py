"""Training on clips: what images have, and that motion is what is learnt."""

import contextlib
import signal
import subprocess
import sys

import pytest

import a2net_gluon as a2
from a2net_gluon import settings
from a2net_gluon.data import SampleSource, digits, moving_digits
from a2net_gluon.errors import InterruptedRunError
from tests.helpers.jobs import Job
from tests.helpers.processes import fork_command, wait_until
from tests.helpers.runs import difference, last_parameters

SMALL = {"input": settings.Input(size=16, frames=4), "batch_size": 32, "workers": 1}


def moving(tmp_path, name, **changes):
    """Settings of a run on moving digits."""
    return settings.Training(data=settings.MovingDigits(), save_dir=tmp_path / name, **{**SMALL, **changes})


def test_names_tell_networks_for_clips():
    for name in a2.list_models():
        assert settings.Network(name).takes_clips == (name in a2.list_models(ndim=3))


def test_motion_is_what_is_learnt(tmp_path):
    """A network for images stays at chance on single frames; one for clips does not."""
    images = {"network": settings.Network("resnet20_small"), "input": settings.Input(size=16)}
    still = a2.train(moving(tmp_path, "still", **images, epochs=2))
    clips = a2.train(moving(tmp_path, "clips", epochs=2))
    # Chance is 1/8; 0.195 is four standard deviations above it, for 360 clips.
    assert still.best["val_top1"] < 0.195 < 0.4 < clips.best["val_top1"]


def stop_after(monkeypatch, epoch, batches):
    """Send SIGTERM to this process when batch number `batches` of an epoch is read."""
    read = SampleSource.train

    def train(self, number, first=0):
        for place, batch in enumerate(read(self, number, first), first):
            if (number, place) == (epoch, batches):
                signal.raise_signal(signal.SIGTERM)
            yield batch

    monkeypatch.setattr(SampleSource, "train", train)


@pytest.fixture(scope="module")
def few_digits():
    """80 training and 20 validation clips, ten batches an epoch, in the context that this fixture returns."""
    images, labels = digits.load_digits()

    @contextlib.contextmanager
    def few():
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(moving_digits, "load_digits", lambda: (images[:100], labels[:100]))
            patch.setattr(moving_digits, "TRAIN_COUNT", 80)
            yield

    return few


# An epoch of ten batches, and seven of the next.
LENGTH = {"batch_size": 8, "iterations": 17, "schedule": settings.Schedule(warmup_iterations=4)}


@pytest.fixture(scope="module")
def uninterrupted(few_digits, tmp_path_factory):
    """The result of a run on them."""
    with few_digits():
        return a2.train(moving(tmp_path_factory.mktemp("whole"), "whole", **LENGTH))


def assert_same_end(resumed, whole):
    """The same results and the same bits of all parameters."""
    for one, other in zip(resumed.history, whole.history):
        assert {name: one[name] for name in one if name.startswith(("train_", "val_"))} == {
            name: other[name] for name in other if name.startswith(("train_", "val_"))
        }
    assert (resumed.folder / "best.params").read_bytes() == (whole.folder / "best.params").read_bytes()


@pytest.mark.parametrize(("epoch", "batches"), [(1, 7), (2, 3)])
def test_stopped_in_an_epoch_of_clips_ends_like_a_run_that_was_not(
    few_digits, uninterrupted, tmp_path, monkeypatch, epoch, batches
):
    with few_digits():
        with monkeypatch.context() as patch:
            stop_after(patch, epoch, batches)
            with pytest.raises(InterruptedRunError):
                a2.train(moving(tmp_path, "stopped", **LENGTH))
        resumed = a2.train(moving(tmp_path, "stopped", **LENGTH, run=settings.Run(resume=True)))
    assert_same_end(resumed, uninterrupted)


def test_killed_in_an_epoch_of_clips_ends_like_a_run_that_was_not(few_digits, uninterrupted, tmp_path):
    flags = ("--num-iterations", 17, "--warmup-iterations", 4, "--batch-size", 8, "--input-size", 16)
    words = (*flags, "--clip-length", 4, "-j", 1, "--log-interval", 1, "--save-dir", tmp_path / "killed")
    log = tmp_path / "killed" / "log.txt"
    with few_digits():
        process = fork_command("train-video", *words, stdout=subprocess.DEVNULL)
        try:
            assert wait_until(lambda: log.exists() and "epoch 2/2 batch 2/" in log.read_text(), process)
        finally:
            process.kill()
            process.wait(60)
        assert [path.name for path in (tmp_path / "killed" / "checkpoints").iterdir()] == ["epoch-0001"]
        resumed = a2.train(moving(tmp_path, "killed", **LENGTH, run=settings.Run(resume=True)))
    assert_same_end(resumed, uninterrupted)


# BN's statistics are those of a device's part of a batch, so they differ by design: here they are kept as they are.
ALIKE = {
    "optimization": settings.Optimization(norm="frozen", lr=0.001),
    "iterations": 2,
    "schedule": settings.Schedule(warmup_iterations=0),
}


@pytest.fixture(scope="module")
def one_context(tmp_path_factory):
    """Parameters that one context has after two steps."""
    run = tmp_path_factory.mktemp("one")
    return last_parameters(a2.train(moving(run, "run", **ALIKE, batch_size=40)).folder)


def test_two_contexts_train_on_clips_like_one(one_context, tmp_path):
    devices = settings.Devices(cpu_contexts=2)
    two = a2.train(moving(tmp_path, "two", **ALIKE, batch_size=20, devices=devices))
    assert difference(one_context, last_parameters(two.folder)) < 1e-6


@pytest.mark.slow
def test_two_processes_train_on_clips_like_one(one_context, tmp_path):
    flags = ("--num-iterations", 2, "--input-size", 16, "--clip-length", 4, "--norm", "frozen", "--lr", 0.001)
    train = (sys.executable, "train_video.py", *flags, "--batch-size", 20, "--kv-store", "dist_sync")
    launch = (sys.executable, "-m", "a2net_gluon", "launch", "-n", 2, "-s", 1, "--log-dir", tmp_path / "logs", "--")
    code, output = Job(*launch, *train, "--warmup-iterations", 0, "--save-dir", tmp_path / "run").end()
    assert code == 0, output
    assert output.count("(360 of 360 clips)") == 1  # sharded, and each counted once
    assert difference(one_context, last_parameters(tmp_path / "run")) < 1e-6
