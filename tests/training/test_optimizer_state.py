"""GluonCV's pickled trainer states, read without running what they hold."""

import pickle

import mxnet as mx
import numpy as np
import pytest

from a2net_gluon.errors import FailureError, UsageError
from a2net_gluon.training.optimizer_state import load_gluon_states
from tests.helpers.learners import make_batches, make_learner, train


@pytest.fixture
def states(tmp_path):
    """What gluon.Trainer.save_states writes, optimizer and schedule included, and the learner that wrote it."""
    learner = make_learner()
    train(learner, make_batches())
    learner.trainer._optimizer.lr_scheduler = mx.lr_scheduler.FactorScheduler(10)
    path = tmp_path / "net.states"
    learner.trainer.save_states(str(path))
    return path, learner


def test_momentum_is_read_and_the_optimizer_is_not(states):
    path, learner = states
    fresh = make_learner()
    load_gluon_states(fresh.trainer, path)
    for number, state in learner.trainer._updaters[0].states.items():
        if state is not None:
            np.testing.assert_array_equal(fresh.trainer._updaters[0].states[number].asnumpy(), state.asnumpy())
    assert fresh.trainer._optimizer.lr_scheduler is None
    train(fresh, make_batches())


class Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_nothing_in_the_file_is_run(states, tmp_path):
    _, learner = states
    path, trace = tmp_path / "evil.states", tmp_path / "trace"
    path.write_bytes(pickle.dumps((dict(learner.trainer._updaters[0].states), Evil(trace))))
    load_gluon_states(make_learner().trainer, path)
    path.write_bytes(pickle.dumps(({0: Evil(trace)}, None)))
    with pytest.raises(FailureError):
        load_gluon_states(make_learner().trainer, path)
    assert not trace.exists()


def test_damaged_or_foreign_files(states, tmp_path):
    path, _ = states
    trainer = make_learner().trainer
    with pytest.raises(UsageError, match="no such file"):
        load_gluon_states(trainer, tmp_path / "none")
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(FailureError, match="not a file of gluon.Trainer.save_states"):
        load_gluon_states(trainer, path)
    path.write_bytes(pickle.dumps(({0: mx.nd.zeros((2, 2))}, None)))
    with pytest.raises(FailureError, match="parameter 0 does not fit"):
        load_gluon_states(trainer, path)
