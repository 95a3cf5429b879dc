"""The state of a learner as files of plain arrays, as checkpoints hold it."""

from __future__ import annotations

import pathlib
import typing

import numpy as np

from a2net_gluon.errors import FailureError
from a2net_gluon.networks.weights import load_weights, read_arrays, save_arrays, save_weights
from a2net_gluon.training.learner import Learner
from a2net_gluon.training.optimizer_state import load_optimizer, save_optimizer

__all__ = ["AVERAGE", "NET", "restore_learner", "save_learner"]

NET, AVERAGE = "net.params", "ema.params"
_OPTIMIZER = "optimizer.params"


def save_learner(learner: Learner, folder: pathlib.Path) -> dict[str, typing.Any]:
    """Write parameters, optimizer and averaged weights to `folder`; returns the rest of the state, for JSON.

    Raises
    ------
    FailureError
        If a file cannot be written, or the parameters are not finite.
    """
    for name, array in save_weights(learner.net, folder / NET).items():
        if not np.isfinite(array.asnumpy()).all():
            raise FailureError(f"not saved: {name} is not finite")
    save_optimizer(learner.trainer, folder / _OPTIMIZER)
    state = {"loss_scale": learner.scaler.state(), "bad_steps": learner.bad_steps}
    if learner.average:
        save_arrays(learner.average.arrays, folder / AVERAGE)
        state["ema_steps"] = learner.average.steps
    return state


def restore_learner(learner: Learner, folder: pathlib.Path, state: typing.Mapping[str, typing.Any]) -> None:
    """Restore what `save_learner` wrote to `folder`, and the `state` it returned."""
    load_weights(learner.net, folder / NET, learner.contexts)
    load_optimizer(learner.trainer, folder / _OPTIMIZER)
    learner.scaler.restore(state["loss_scale"])
    learner.bad_steps = state["bad_steps"]
    if learner.average and (folder / AVERAGE).exists():
        learner.average.restore(read_arrays(folder / AVERAGE), state["ema_steps"])
