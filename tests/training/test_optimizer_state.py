"""GluonCV's pickled trainer states, read without running what they hold."""

import pickle

import mxnet as mx
import numpy as np
import pytest

from a2net_gluon.errors import FailureError, UsageError
from a2net_gluon.training.optimizer_state import load_gluon_states, load_optimizer, save_optimizer
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


class Array:
    """Pickled as an NDArray, with a state of its own."""

    def __init__(self, state):
        self.state = state

    def __reduce__(self):
        return mx.nd.NDArray, (None,), self.state


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"handle": None}, "not a file of gluon.Trainer.save_states, or damaged"),
        ({}, "not a file of gluon.Trainer.save_states, or damaged"),
        ({"handle": 5}, "not a file of gluon.Trainer.save_states, or damaged"),
        ({"handle": bytearray(b"")}, "not a file of gluon.Trainer.save_states, or damaged"),
        ({"handle": bytearray(b"\xc9\xfa\x93\xf9" + b"\0" * 4 + b"\xff" * 40)}, "not a file of gluon.Trainer.save_st"),
    ],
)
def test_arrays_without_content(tmp_path, state, message):
    """MXNet 1.9.1 ends with a segmentation fault when such an array is used."""
    (tmp_path / "a.states").write_bytes(pickle.dumps(({0: Array(state)}, None)))
    with pytest.raises(FailureError, match=message):
        load_gluon_states(make_learner().trainer, tmp_path / "a.states")


class Zeros:
    """Pickled as a request for as many zeros as there is memory."""

    def __reduce__(self):
        return bytearray, (10**15,)


def test_a_file_cannot_ask_for_memory(tmp_path):
    trainer, laughs = make_learner().trainer, mx.nd.zeros(1)
    for _ in range(40):
        laughs = [laughs] * 10
    for content in (Zeros(), laughs, {"a": 1}, [1], ({-1: None}, None), ({True: None}, None), ({"a": None}, None)):
        (tmp_path / "a.states").write_bytes(
            pickle.dumps(content if isinstance(content, tuple) else ({0: content}, None))
        )
        with pytest.raises(FailureError, match="not a file of gluon.Trainer.save_states, or damaged"):
            load_gluon_states(trainer, tmp_path / "a.states")


BAD_VALUES = {
    "is of int8, optimizer states are of float32": lambda array: array.astype("int8"),
    "is of float64, optimizer states are of float32": lambda array: array.astype("float64"),
    "is not finite: resume from an earlier state": lambda array: array * np.nan,
    "is not finite": lambda array: array + np.inf,
}


@pytest.mark.parametrize(("message", "change"), BAD_VALUES.items(), ids=BAD_VALUES)
def test_momentum_of_other_values(tmp_path, message, change):
    learner = make_learner()
    train(learner, make_batches())
    state = change(learner.trainer._updaters[0].states[0])
    (tmp_path / "a.states").write_bytes(pickle.dumps(({0: state}, None)))
    with pytest.raises(FailureError, match=f"a.states: parameter 0 {message}"):
        load_gluon_states(make_learner().trainer, tmp_path / "a.states")
    save_optimizer(learner.trainer, tmp_path / "optimizer.params")
    arrays = mx.nd.load(str(tmp_path / "optimizer.params"))
    name = next(iter(arrays))
    mx.nd.save(str(tmp_path / "optimizer.params"), {**arrays, name: change(arrays[name])})
    with pytest.raises(FailureError, match=f"optimizer.params: {name} {message}"):
        load_optimizer(make_learner().trainer, tmp_path / "optimizer.params")
