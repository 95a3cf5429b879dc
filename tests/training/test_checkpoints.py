import functools

import mxnet as mx
import numpy as np
import pytest

from a2net_gluon.errors import FailureError
from a2net_gluon.training.checkpoints import Checkpoints
from a2net_gluon.training.learner_state import restore_learner, save_learner
from tests.helpers.learners import make_batches, make_learner, parameters, train


def state(epoch, batch=0, history=()):
    return {"epoch": epoch, "batch": batch, "history": list(history)}


@pytest.fixture
def trained():
    learner = make_learner()
    train(learner, make_batches())
    return learner


def test_restored_learner_goes_on_the_same(trained, tmp_path):
    checkpoints = Checkpoints(tmp_path, keep=2)
    checkpoints.save(functools.partial(save_learner, trained), state(1, history=[{"epoch": 1}]))
    folder, saved, rejected = checkpoints.newest()
    assert (saved["epoch"], saved["history"], rejected) == (1, [{"epoch": 1}], [])
    restored = make_learner()
    restore_learner(restored, folder, saved["learner"])
    for learner in (trained, restored):
        train(learner, make_batches(), 4)
    for name, value in parameters(trained.net).items():
        np.testing.assert_array_equal(parameters(restored.net)[name], value)


def test_newest_whole_one_is_found_and_old_ones_go(trained, tmp_path):
    checkpoints = Checkpoints(tmp_path, keep=3)
    for epoch in (1, 2, 3, 4):
        checkpoints.save(functools.partial(save_learner, trained), state(epoch))
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["epoch-0002", "epoch-0003", "epoch-0004"]
    damaged = tmp_path / "epoch-0004" / "net.params"
    damaged.write_bytes(damaged.read_bytes()[:-100])
    (tmp_path / "epoch-0003" / "state.json").unlink()
    folder, saved, rejected = checkpoints.newest()
    assert (folder.name, saved["epoch"]) == ("epoch-0002", 2)
    assert "epoch-0004: net.params is damaged" in rejected[0]
    assert "epoch-0003" in rejected[1]
    checkpoints.save(functools.partial(save_learner, trained), state(3))  # the damaged ones do not push out whole ones
    assert {path.name for path in tmp_path.glob("epoch-*")} == {"epoch-0002", "epoch-0003"}
    assert {path.name for path in tmp_path.glob("damaged-*")} == {"damaged-epoch-0003", "damaged-epoch-0004"}


def test_nothing_half_written_stays(trained, tmp_path, monkeypatch):
    checkpoints = Checkpoints(tmp_path, keep=2)
    checkpoints.save(functools.partial(save_learner, trained), state(1))

    def full_disk(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(mx.nd, "save", full_disk)
    with pytest.raises(FailureError, match="epoch-0002: checkpoint cannot be written .*No space left"):
        checkpoints.save(functools.partial(save_learner, trained), state(2))
    assert [path.name for path in tmp_path.iterdir()] == ["epoch-0001"]
    (tmp_path / ".staging-left-by-a-killed-process").mkdir()
    checkpoints.clean()
    assert [path.name for path in tmp_path.iterdir()] == ["epoch-0001"]


def test_no_checkpoint_yet(tmp_path):
    assert Checkpoints(tmp_path / "absent", keep=2).newest() == (None, None, [])
