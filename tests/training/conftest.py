"""Shared by the tests of training."""

import pytest

from a2net_gluon import cli
from a2net_gluon.data import digits
from a2net_gluon.training import results

SHORT = ("--input-size", "8", "--batch-size", "8", "-j", "1")
TWO_EPOCHS = ("--num-epochs", "2", "--warmup-epochs", "0")


@pytest.fixture(autouse=True, scope="module")
def no_curves():
    """Draw no curves after each epoch of a run in this process, which takes a quarter of the time of a short one.

    `test_metrics.py` draws those of a run, `test_run.py` finds them in the folder of a run in a process of its own.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(results, "draw_curves", lambda history, path, panels: None)
        yield


@pytest.fixture
def train(tmp_path, capsys, monkeypatch):
    """Return a function that trains in this process and returns the run folder and what was said.

    On 64 training and 16 validation images, that is, in 8 batches an epoch.
    """
    images, labels = digits.load_digits()
    monkeypatch.setattr(digits, "load_digits", lambda: (images[:80], labels[:80]))
    monkeypatch.setattr(digits, "TRAIN_COUNT", 64)

    def run(*flags, name="run", code=0, length=TWO_EPOCHS):
        words = ("train", *SHORT, *length, "--save-dir", tmp_path / name, *flags)
        assert cli.main([str(word) for word in words]) == code
        said = capsys.readouterr()
        return tmp_path / name, said.out if code == 0 else said.err

    return run
