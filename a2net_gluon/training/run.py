"""A training run from its settings to its folder."""

from __future__ import annotations

import contextlib
import functools
import itertools
import pathlib
import signal
import typing

import mxnet as mx
import numpy as np

from a2net_gluon.data.samples import Batch, fingerprint
from a2net_gluon.devices import check_contexts, contexts_of
from a2net_gluon.distributed.communicator import Communicator, make_communicator
from a2net_gluon.errors import FailureError, InterruptedRunError
from a2net_gluon.networks.description import FILE_NAME
from a2net_gluon.settings import Training
from a2net_gluon.training.assembly import Parts, assemble, training_preprocessing
from a2net_gluon.training.interruption import Interruption
from a2net_gluon.training.learner import Learner
from a2net_gluon.training.learner_state import restore_learner, save_learner
from a2net_gluon.training.metrics import best_epoch
from a2net_gluon.training.optimizer_state import load_gluon_states
from a2net_gluon.training.preflight import check_training_memory
from a2net_gluon.training.progress import Progress
from a2net_gluon.training.report import Report
from a2net_gluon.training.run_folder import RunFolder
from a2net_gluon.training.scalars import Scalars, check_tensorboard
from a2net_gluon.training.sources import open_source
from a2net_gluon.training.validation import check_count

__all__ = ["Result", "train"]

# Steps between two checks, in all processes of a job, whether one of them was told to stop.
_AGREE_EVERY = 10

Row = typing.Dict[str, typing.Any]
OnEpoch = typing.Callable[[Row], object]


class Result(typing.NamedTuple):
    """The result of a training run.

    Attributes
    ----------
    history : list of dict
        A row for each epoch, with the columns of ``metrics.csv``.
    best : dict or None
        The row of the best epoch; None if no epoch was trained.
    folder : Path
        The run folder: ``run.json`` (settings, versions, seed), ``log.txt``, ``metrics.csv``, ``curves.png``,
        ``model.json``, ``best.params`` and ``checkpoints/``.
    """

    history: list[Row]
    best: Row | None
    folder: pathlib.Path


def train(training: Training, *, on_epoch: OnEpoch | None = None, verbose: bool = False) -> Result:
    """Train a network. The global random generators of MXNet and NumPy are seeded from the seed of the settings.

    Parameters
    ----------
    training : settings.Training
    on_epoch : callable, optional
        Called with the row of each epoch, after its checkpoint is written.
    verbose : bool
        Print the log, with a progress bar on a terminal. The log file is written in any case.

    Returns
    -------
    Result

    Raises
    ------
    UsageError
        If settings and data do not fit.
    FailureError
        If data are damaged, the folder cannot be written, or training diverges.
    InterruptedRunError
        On SIGTERM or SIGINT, after the state is saved, also in the middle of an epoch.
    """
    training = training.resolved()
    if training.run.tensorboard:
        check_tensorboard()
    contexts = contexts_of(training.devices, training.optimization.dtype)
    preprocessing = training_preprocessing(training)
    communicator = make_communicator(training.kv_store, contexts)
    contexts = check_contexts(communicator.place(contexts))
    check_training_memory(training, contexts)
    folder = RunFolder(training, communicator, Learner.meter)
    interruption = Interruption()
    report = Report(training, quiet=communicator.rank > 0 or not verbose, on_lost=interruption.stop)
    with folder.hold(), report, interruption:
        source = open_source(
            training,
            preprocessing,
            len(contexts),
            on_skip=report.skipped,
            shard=communicator.shard,
            tell=report.line,
        )
        with contextlib.closing(source):
            mx.random.seed(training.seed)
            np.random.seed(training.seed)
            parts = assemble(training, source, preprocessing, contexts, communicator)
            run = _Run(training, parts, communicator, folder, report, interruption, on_epoch)
            run.start()
            run.train()
    return Result(run.history, run.best, folder.path)


class _Run:
    """A training run: its parts and its progress.

    Attributes
    ----------
    epoch : int
        Epochs done.
    history : list of dict
        A row for each of them.
    progress : Progress
        Of the epoch that is under way.
    """

    def __init__(
        self,
        training: Training,
        parts: Parts,
        communicator: Communicator,
        folder: RunFolder,
        report: Report,
        interruption: Interruption,
        on_epoch: OnEpoch | None = None,
    ) -> None:
        self.training, self.communicator, self.folder = training, communicator, folder
        self.report, self.interruption, self.on_epoch = report, interruption, on_epoch
        self.source, self.learner, self.description = parts.source, parts.learner, parts.description
        self.rate, self.length, self._notes = parts.rate, parts.length, parts.notes
        self.accumulate = training.optimization.accumulate
        self.history: list[Row] = []
        self.epoch = training.start.epochs_done
        self.progress = self._new_progress()

    @property
    def best(self) -> Row | None:
        """The row of the best epoch so far."""
        return best_epoch(self.history, f"val_{self.learner.meter.headline}")

    def start(self) -> None:
        """Open the folder, and return to its newest checkpoint if the run is resumed."""
        if self.training.start.states:
            load_gluon_states(self.learner.trainer, self.training.start.states)
            self.report.line(
                f"{self.training.start.states} is a pickle: only its arrays are read, nothing in it is run"
            )
        data = {part: fingerprint(samples) for part, samples in self.source.parts().items()}
        restore = functools.partial(restore_learner, self.learner)
        state = self.folder.open(self.description, data, self.report, restore)
        if state:
            self._return_to(state, data)
        else:
            for note in self._notes:
                self.report.line(note)
        writes = self.training.run.tensorboard and not self.communicator.rank
        self.scalars = Scalars(self.folder.path if writes else None, self.epoch)
        self.report.start(self.training, self.learner, self.source, self.description, self.length)

    def _return_to(self, state: typing.Mapping[str, typing.Any], data: typing.Mapping[str, str]) -> None:
        """Take up a stored state, in the middle of its epoch if the epoch's batches are still the same."""
        self.epoch, self.history = state["epoch"], state["history"]
        before = state.get("data", data)  # version 0.1 did not store it at first
        changed = [part for part in {**before, **data} if before.get(part) != data.get(part)]
        for part in changed:
            noun = self.training.data.kind.noun
            self.report.line(f"the {part} {noun} or their labels are others than when this run was last started")
        if state["batches"] == self._batches_in_numbers() and "training" not in changed:
            self.progress = self._new_progress(state["progress"])
        elif state["batch"]:
            self.report.line("the epoch starts again: its batches differ from those it was started with")

    def train(self) -> None:
        """Train the epochs that are left."""
        try:
            while self.epoch < self.length.epochs:
                self._train_epoch()
        except FailureError as error:
            last = self.folder.newest_checkpoint()
            raise FailureError(f"{error}; the last checkpoint is {last}" if last else str(error)) from None
        finally:
            self.scalars.close()
        self.report.end(self.source, self.best, self.learner.meter, self.folder.path)

    def _new_progress(self, state: typing.Mapping[str, typing.Any] | None = None) -> Progress:
        return Progress(state, self.learner.meter)

    def _train_epoch(self) -> None:
        """Train and validate; adds the epoch's row to the history."""
        number, progress = self.epoch + 1, self.progress
        # All random numbers of an epoch follow from the seed and its number: a resumed run needs no random state.
        mx.random.seed(int(np.random.SeedSequence((self.training.seed, number)).generate_state(1)[0] >> 1))
        needed = self.length.steps_of(number) * self.accumulate
        with self.report.epoch(number, needed, progress.batches) as on_batch:

            def on_step(progress: Progress) -> bool:
                self.folder.begin()
                on_batch(progress)
                return self._stops(progress.batches // self.accumulate)

            left = max(0, needed - progress.batches)  # 0 after a resumption with fewer iterations than were done
            batches = itertools.islice(self.source.train(number, progress.batches), left)
            first_step = self.epoch * self.length.epoch_steps + 1
            self.learner.train_epoch(self._watch(batches), progress, self._rate, first_step, on_step)
        if self._stops():
            self._leave()
        if progress.batches < needed:
            raise FailureError(
                f"the data ended after {progress.batches} of {needed} batches: check that they are complete"
            )
        row = self._row(number, progress)
        if row is None:
            self._leave()
        self.history.append(row)
        self.epoch, self.progress = number, self._new_progress()
        self.report.epoch_end(row, self.learner.meter, self.source.val_count)
        self.scalars.add(row)
        self.folder.record(self._write, self._state(), last=number == self.length.epochs)
        if self.on_epoch:
            self.on_epoch(dict(row))

    def _rate(self, step: int) -> float:
        return self.rate(step, [row[f"train_{self.learner.meter.headline}"] for row in self.history])

    def _watch(self, batches: typing.Iterable[Batch]) -> typing.Iterable[Batch]:
        """The batches, until a signal comes; processes of a job have to stop together, see `_stops`."""
        return self.interruption.watch(batches) if self.communicator.size == 1 else batches

    def _stops(self, step: int = 0) -> bool:
        """Return whether to stop after `step`: all processes stop if one of them was told to."""
        told = self.interruption.signal is not None
        if self.communicator.size == 1:
            return told
        return step % _AGREE_EVERY == 0 and self.communicator.sum([told])[0] > 0

    def _row(self, number: int, progress: Progress) -> Row | None:
        """The epoch's row of the history; None if a signal came meanwhile."""
        images, *sums = self.communicator.sum([progress.images, *progress.meter.sums()])
        row: Row = {
            "epoch": number,
            "learning_rate": progress.learning_rate,
            "images_per_second": round(progress.images_per_second * images / progress.images, 3),
            "data_wait": round(progress.data_wait, 4),
            "skipped_steps": progress.skipped_steps,
            **{f"train_{name}": value for name, value in self.learner.meter(sums).metrics.items()},
        }
        self.learner.average_running_statistics()
        for prefix, average in (("val", False), ("val_ema", True)):
            if average and not self.learner.average:
                continue
            self._measure_running_statistics(number, average)
            measured = self.learner.validate(self._watch(self.source.validation()), average)
            if self.communicator.size == 1 and self.interruption.signal:
                return None
            check_count(measured.count, self.training.data.kind)
            row.update({f"{prefix}_{name}": value for name, value in measured.metrics.items()})
            row[f"{prefix}_count"] = measured.count
        return row

    def _measure_running_statistics(self, number: int, average: bool) -> None:
        """With ``--precise-bn``, measure those that are evaluated, and saved, on the first batches of the epoch."""
        count = self.training.optimization.precise_bn
        if count:
            batches = itertools.islice(self.source.train(number), count)
            self.learner.measure_running_statistics(self._watch(batches), average)

    def _write(self, folder: pathlib.Path) -> dict[str, typing.Any]:
        """Write the files of a checkpoint; returns the rest of the learner's state."""
        self.description.save(folder / FILE_NAME)
        return save_learner(self.learner, folder)

    def _state(self) -> dict[str, typing.Any]:
        return {
            "epoch": self.epoch,
            "batch": self.progress.batches,
            "batches": self._batches_in_numbers(),
            "progress": self.progress.state(),
            "history": self.history,
        }

    def _batches_in_numbers(self) -> list[int]:
        """The numbers that the batches of an epoch depend on: with others, half an epoch cannot be resumed."""
        batches = self.length.epoch_steps * self.accumulate  # of whole steps
        return [self.training.seed, self.source.batch_size, self.communicator.size, self.accumulate, batches]

    def _leave(self) -> typing.NoReturn:
        """Save the state of the run, and end it."""
        number = self.interruption.signal or signal.SIGTERM
        self.learner.average_running_statistics()
        where = self.folder.save(self._write, self._state())
        message = f"stopped by {number.name}, saved {where}: --resume continues there"
        self.report.line(message)
        raise InterruptedRunError(message, number)
