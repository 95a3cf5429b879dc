"""Learning-rate schedules, counted in steps from 1: MXNet's own, and the paper's plateau."""

from __future__ import annotations

import dataclasses
import functools
import typing

import mxnet as mx

from a2net_gluon.errors import UsageError
from a2net_gluon.settings import Schedule

__all__ = ["Length", "Plateau", "Rate", "make_schedule", "warmup_steps"]

Rate = typing.Callable[..., float]


@dataclasses.dataclass(frozen=True)
class Length:
    """The length of a run. Its last epoch is shorter where `steps` is no multiple of `epoch_steps`.

    Attributes
    ----------
    steps : int
        Steps of the run, also called iterations.
    epoch_steps : int
        Steps of a whole epoch.
    """

    steps: int
    epoch_steps: int

    @property
    def epochs(self) -> int:
        """Number of epochs, with the one that is cut short."""
        return -(-self.steps // self.epoch_steps)

    @property
    def in_words(self) -> str:
        """Epochs and their steps, for the log."""
        last = self.steps_of(self.epochs)
        shorter = f", the last one of {last:,}" if last < self.epoch_steps else ""
        return f"{self.epochs} epochs of {self.epoch_steps:,} steps{shorter}"

    def steps_of(self, epoch: int) -> int:
        """Steps of an epoch, counted from 1."""
        return max(0, min(self.epoch_steps, self.steps - (epoch - 1) * self.epoch_steps))


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


def make_schedule(options: Schedule, lr: float, length: Length) -> Rate:
    """Return a function from the number of a step, counted from 1, and the history to the step's learning rate.

    It keeps no state: a resumed run finds the same rates. "step" multiplies by the decay after each decay epoch or
    iteration, "plateau" whenever training accuracy is saturated; "poly" (power 2) and "cosine" end at 0, in the last
    step of the run.

    Parameters
    ----------
    options : settings.Schedule
        Resolved: mode and warm-up are given.
    lr : float
        Rate after the warm-up.
    length : Length

    Returns
    -------
    callable
        ``rate(step, accuracies=())`` with the training accuracy of each epoch so far.

    Raises
    ------
    UsageError
        If the warm-up leaves nothing of the run, or decay epochs or iterations do not rise.
    """
    warmup = warmup_steps(options, length)
    if warmup >= length.steps:
        raise UsageError(
            f"the warm-up has {warmup:,} iterations, the run {length.steps:,}: the warm-up must be shorter than the run"
        )
    if options.warmup_lr > lr:
        raise UsageError(f"the warm-up starts at {options.warmup_lr}, above the learning rate {lr}")
    common = {"base_lr": lr, "warmup_steps": warmup, "warmup_begin_lr": options.warmup_lr}
    if options.mode == "cosine":
        make = functools.partial(mx.lr_scheduler.CosineScheduler, length.steps, final_lr=0, **common)
    elif options.mode == "poly":
        make = functools.partial(mx.lr_scheduler.PolyScheduler, length.steps, pwr=2, final_lr=0, **common)
    else:
        edges = [length.steps + 1] if options.mode == "plateau" else _edges(options, length)
        make = functools.partial(mx.lr_scheduler.MultiFactorScheduler, edges, factor=options.decay, **common)
    plateau = Plateau(options.plateau_patience, options.plateau_threshold)

    def rate(step: int, accuracies: typing.Sequence[float] = ()) -> float:
        drops = plateau.drops(accuracies) if options.mode == "plateau" else 0
        return make()(step) * options.decay**drops  # a new scheduler each time: MXNet's only go forward

    return rate


def warmup_steps(options: Schedule, length: Length) -> int:
    """The steps of the warm-up, which `options` may count in epochs."""
    if options.warmup_iterations is not None:
        return options.warmup_iterations
    return (options.warmup_epochs or 0) * length.epoch_steps


def _edges(options: Schedule, length: Length) -> list[int]:
    """The steps after which the rate decays."""
    period, unit, factor = options.decay_period, "epochs", length.epoch_steps
    given: typing.Sequence[int] = range(period, length.epochs + period, period) if period else options.decay_epochs
    if options.decay_iterations:
        given, unit, factor = options.decay_iterations, "iterations", 1
    if not given or list(given) != sorted(set(given)) or given[0] < 1:
        raise UsageError(f"decay {unit} are {list(given)}; they must rise, from 1 on")
    return [edge * factor for edge in given]
