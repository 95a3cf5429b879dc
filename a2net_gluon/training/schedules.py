"""Learning-rate schedules: MXNet's own, counted in steps from 1."""

import mxnet as mx

from a2net_gluon.errors import UsageError

__all__ = ["make_schedule"]


def make_schedule(mode, lr, epochs, steps_per_epoch, decay, decay_epochs, warmup_epochs, warmup_lr):
    """Return a function from the number of a step, counted from 1, to its learning rate.

    Parameters
    ----------
    mode : {"step", "poly", "cosine"}
        "step" multiplies by `decay` after each of `decay_epochs`; "poly" (power 2) and "cosine" end at 0.
    lr : float
        Rate after the warm-up.
    epochs, steps_per_epoch : int
    decay_epochs : sequence of int
    warmup_epochs : int
        Linear warm-up, from `warmup_lr` to `lr`.

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
    if mode == "cosine":
        return mx.lr_scheduler.CosineScheduler(epochs * steps_per_epoch, final_lr=0, **common)
    if mode == "poly":
        return mx.lr_scheduler.PolyScheduler(epochs * steps_per_epoch, pwr=2, final_lr=0, **common)
    if not decay_epochs or list(decay_epochs) != sorted(set(decay_epochs)) or decay_epochs[0] < 1:
        raise UsageError(f"decay epochs are {list(decay_epochs)}; they must rise, from 1 on")
    steps = [epoch * steps_per_epoch for epoch in decay_epochs]
    return mx.lr_scheduler.MultiFactorScheduler(steps, factor=decay, **common)
