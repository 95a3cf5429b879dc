"""Learning-rate schedules, counted in steps from 1: MXNet's own, and the paper's plateau."""

import functools

import mxnet as mx

from a2net_gluon.errors import UsageError

__all__ = ["Plateau", "make_schedule"]


class Plateau:
    """When training accuracy is saturated: no epoch of `patience` in a row was better by `threshold`.

    Parameters
    ----------
    patience : int
        Epochs.
    threshold : float
        Accuracy, from 0 to 1, by which an epoch must exceed the best so far to count as better.
    """

    def __init__(self, patience, threshold):
        self._patience, self._threshold = patience, threshold

    def drops(self, accuracies):
        """How often it was saturated, given the accuracy of each epoch so far."""
        best, since, drops = -1.0, 0, 0
        for accuracy in accuracies:
            since += 1
            if accuracy > best + self._threshold:
                best, since = accuracy, 0
            elif since == self._patience:
                drops, since = drops + 1, 0
        return drops


def make_schedule(mode, lr, epochs, steps_per_epoch, decay, decay_epochs, warmup_epochs, warmup_lr, plateau=None):
    """Return a function from the number of a step, counted from 1, and the history to the step's learning rate.

    It keeps no state: a resumed run finds the same rates.

    Parameters
    ----------
    mode : {"step", "poly", "cosine", "plateau"}
        "step" multiplies by `decay` after each of `decay_epochs`, "plateau" whenever training accuracy is saturated;
        "poly" (power 2) and "cosine" end at 0.
    lr : float
        Rate after the warm-up.
    epochs, steps_per_epoch : int
    decay_epochs : sequence of int
    warmup_epochs : int
        Linear warm-up, from `warmup_lr` to `lr`.
    plateau : Plateau, optional
        For that mode.

    Returns
    -------
    callable
        ``rate(step, accuracies=())`` with the training accuracy of each epoch so far.

    Raises
    ------
    UsageError
        If the warm-up leaves nothing of the run, or decay epochs do not rise.
    """
    if warmup_epochs >= epochs:
        raise UsageError(f"{warmup_epochs} warm-up epochs of {epochs}: the warm-up must be shorter than the run")
    if warmup_lr > lr:
        raise UsageError(f"the warm-up starts at {warmup_lr}, above the learning rate {lr}")
    common = {
        "base_lr": lr,
        "warmup_steps": warmup_epochs * steps_per_epoch,
        "warmup_begin_lr": warmup_lr,
    }
    steps = epochs * steps_per_epoch
    if mode == "cosine":
        make = functools.partial(mx.lr_scheduler.CosineScheduler, steps, final_lr=0, **common)
    elif mode == "poly":
        make = functools.partial(mx.lr_scheduler.PolyScheduler, steps, pwr=2, final_lr=0, **common)
    else:
        edges = [steps + 1] if mode == "plateau" else _edges(decay_epochs, steps_per_epoch)
        make = functools.partial(mx.lr_scheduler.MultiFactorScheduler, edges, factor=decay, **common)

    def rate(step, accuracies=()):
        drops = plateau.drops(accuracies) if mode == "plateau" else 0
        return make()(step) * decay**drops  # a new scheduler each time: MXNet's only go forward

    return rate


def _edges(decay_epochs, steps_per_epoch):
    if not decay_epochs or list(decay_epochs) != sorted(set(decay_epochs)) or decay_epochs[0] < 1:
        raise UsageError(f"decay epochs are {list(decay_epochs)}; they must rise, from 1 on")
    return [epoch * steps_per_epoch for epoch in decay_epochs]
