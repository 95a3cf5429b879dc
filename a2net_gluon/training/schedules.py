"""Learning-rate schedules, counted in steps from 1: MXNet's own, and the paper's plateau."""

from __future__ import annotations

import functools
import typing

import mxnet as mx

from a2net_gluon.errors import UsageError
from a2net_gluon.settings import Schedule

__all__ = ["Plateau", "Rate", "make_schedule"]

Rate = typing.Callable[..., float]


class Plateau:
    """Detection of a saturated training accuracy: none of `patience` consecutive epochs was better by `threshold`.

    Parameters
    ----------
    patience : int
        Epochs.
    threshold : float
        Accuracy, from 0 to 1, by which an epoch must exceed the best one so far to count as better.
    """

    def __init__(self, patience: int, threshold: float) -> None:
        self._patience, self._threshold = patience, threshold

    def drops(self, accuracies: typing.Iterable[float]) -> int:
        """Count the saturations, given the accuracy of each epoch so far."""
        best, since, drops = -1.0, 0, 0
        for accuracy in accuracies:
            since += 1
            if accuracy > best + self._threshold:
                best, since = accuracy, 0
            elif since == self._patience:
                drops, since = drops + 1, 0
        return drops


def make_schedule(options: Schedule, lr: float, epochs: int, steps_per_epoch: int) -> Rate:
    """Return a function from the number of a step, counted from 1, and the history to the step's learning rate.

    It keeps no state: a resumed run finds the same rates. "step" multiplies by the decay after each decay epoch,
    "plateau" whenever training accuracy is saturated; "poly" (power 2) and "cosine" end at 0.

    Parameters
    ----------
    options : settings.Schedule
        Resolved: mode and warm-up are given.
    lr : float
        Rate after the warm-up.
    epochs, steps_per_epoch : int

    Returns
    -------
    callable
        ``rate(step, accuracies=())`` with the training accuracy of each epoch so far.

    Raises
    ------
    UsageError
        If the warm-up leaves nothing of the run, or decay epochs do not rise.
    """
    warmup = options.warmup_epochs or 0
    if warmup >= epochs:
        raise UsageError(f"{warmup} warm-up epochs of {epochs}: the warm-up must be shorter than the run")
    if options.warmup_lr > lr:
        raise UsageError(f"the warm-up starts at {options.warmup_lr}, above the learning rate {lr}")
    common = {"base_lr": lr, "warmup_steps": warmup * steps_per_epoch, "warmup_begin_lr": options.warmup_lr}
    steps = epochs * steps_per_epoch
    if options.mode == "cosine":
        make = functools.partial(mx.lr_scheduler.CosineScheduler, steps, final_lr=0, **common)
    elif options.mode == "poly":
        make = functools.partial(mx.lr_scheduler.PolyScheduler, steps, pwr=2, final_lr=0, **common)
    else:
        edges = [steps + 1] if options.mode == "plateau" else _edges(_decay_epochs(options, epochs), steps_per_epoch)
        make = functools.partial(mx.lr_scheduler.MultiFactorScheduler, edges, factor=options.decay, **common)
    plateau = Plateau(options.plateau_patience, options.plateau_threshold)

    def rate(step: int, accuracies: typing.Sequence[float] = ()) -> float:
        drops = plateau.drops(accuracies) if options.mode == "plateau" else 0
        return make()(step) * options.decay**drops  # a new scheduler each time: MXNet's only go forward

    return rate


def _decay_epochs(options: Schedule, epochs: int) -> typing.Sequence[int]:
    period = options.decay_period
    return range(period, epochs + period, period) if period else options.decay_epochs


def _edges(decay_epochs: typing.Sequence[int], steps_per_epoch: int) -> list[int]:
    if not decay_epochs or list(decay_epochs) != sorted(set(decay_epochs)) or decay_epochs[0] < 1:
        raise UsageError(f"decay epochs are {list(decay_epochs)}; they must rise, from 1 on")
    return [epoch * steps_per_epoch for epoch in decay_epochs]
