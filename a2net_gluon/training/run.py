"""A training run from its options to its folder."""

import contextlib
import itertools
import signal

import mxnet as mx
import numpy as np

from a2net_gluon import from_options
from a2net_gluon.distributed.communicator import make_communicator
from a2net_gluon.errors import FailureError, InterruptedRunError
from a2net_gluon.networks.weights import ParameterFile, check_contexts
from a2net_gluon.options import complete
from a2net_gluon.training import assembly
from a2net_gluon.training.interruption import Interruption
from a2net_gluon.training.learner import Learner, check_count
from a2net_gluon.training.optimizer_state import load_gluon_states
from a2net_gluon.training.progress import Progress
from a2net_gluon.training.report import Report
from a2net_gluon.training.run_folder import RunFolder
from a2net_gluon.training.scalars import Scalars, check_tensorboard

__all__ = ["train"]

# Steps between two times at which the processes of a job ask each other whether one was told to stop.
_AGREE_EVERY = 10


def train(args):
    """Train as `args` say, an ``argparse.Namespace`` of `training_parser`.

    Returns
    -------
    Path
        The run folder: ``run.json`` (arguments, versions, seed), ``log.txt``, ``metrics.csv``, ``curves.png``,
        ``model.json``, ``best.params`` and ``checkpoints/``.

    Raises
    ------
    UsageError
        If options and data do not fit.
    FailureError
        If data are damaged, the folder cannot be written, or training diverges.
    InterruptedRunError
        If SIGTERM or SIGINT came; the state is saved, in the middle of an epoch if need be.
    """
    complete(args)
    if args.tensorboard:
        check_tensorboard()
    contexts = from_options.contexts(args)
    preprocessing = from_options.preprocessing(args, args.model)
    exchange = make_communicator(args.kv_store, contexts)
    contexts = check_contexts(exchange.place(contexts))
    folder = RunFolder(args, exchange)
    report = Report(args.num_epochs, args.log_interval, args.num_workers, quiet=exchange.rank > 0)
    with report, Interruption() as interruption:
        source = from_options.source(args, preprocessing, len(contexts), on_skip=report.skipped, shard=exchange.shard)
        with contextlib.closing(source):
            run = _Run(args, contexts, exchange, folder, report, interruption, source, preprocessing)
            run.start()
            run.go_on()
    return folder.path


class _Run:
    """One run: what it works with, and how far it is.

    Attributes
    ----------
    epoch : int
        Epochs done.
    history : list of dict
        A line for each of them.
    progress : Progress
        Of the epoch begun.
    """

    def __init__(self, args, contexts, exchange, folder, report, interruption, source, preprocessing):
        self.args, self.exchange, self.folder = args, exchange, folder
        self.report, self.interruption, self.source = report, interruption, source
        self.description = assembly.description(args, source.classes, preprocessing)
        mx.random.seed(args.seed)
        np.random.seed(args.seed)
        self.steps_per_epoch = assembly.steps_per_epoch(args, source)
        self.schedule = assembly.schedule(args, self.steps_per_epoch)
        self.learner = Learner(
            assembly.net_maker(args, contexts, self.description),
            contexts,
            preprocessing,
            assembly.objective(args, contexts, self.description, self.steps_per_epoch),
            assembly.optimization(args),
            exchange,
        )
        if args.resume_states:
            load_gluon_states(self.learner.trainer, args.resume_states)
            report.line(f"{args.resume_states} is a pickle: only its arrays are read, nothing in it is run")
        self.epoch, self.history, self.progress = args.resume_epoch, [], Progress()

    def start(self):
        """Open the folder, and go back to where it stands if it is resumed."""
        state = self.folder.open(self.learner, self.description, self.report)
        if state:
            self.epoch, self.history = state["epoch"], state["history"]
            if state["batches"] == self._batches_in_numbers():
                self.progress = Progress(state["progress"])
            elif state["batch"]:
                self.report.line("the epoch begins anew: its batches are not those it was begun with")
        elif self.args.pretrained_base:
            base = ParameterFile(self.args.pretrained_base)
            self.report.line(f"{base.path}: {base.compare(self.learner.net)}")
        scalars = self.folder.path if self.args.tensorboard and not self.exchange.rank else None
        self.scalars = Scalars(scalars, self.epoch)
        self.report.start(self.args, self.learner, self.source, self.description)

    def go_on(self):
        """Train the epochs that are left."""
        try:
            while self.epoch < self.args.num_epochs:
                self._train_epoch()
        except FailureError as error:
            last = self.folder.newest_checkpoint()
            raise FailureError(f"{error}; the last checkpoint is {last}" if last else str(error)) from None
        finally:
            self.scalars.close()
        self.report.end(self.source, self.history, self.folder.path)

    def _train_epoch(self):
        """Train and validate; adds the epoch's line to the history."""
        number, progress = self.epoch + 1, self.progress
        # Everything random in an epoch follows from the seed and its number: a resumed run needs no random state.
        mx.random.seed(int(np.random.SeedSequence((self.args.seed, number)).generate_state(1)[0] >> 1))
        with self.report.epoch(number, self._batches, progress.batches) as on_batch:

            def on_step(progress):
                on_batch(progress)
                return self._stops(progress.batches // self.args.accumulate)

            batches = self.source.train(number, progress.batches)
            first_step = self.epoch * self.steps_per_epoch + 1
            self.learner.train_epoch(self._watch(batches), progress, self._rate, first_step, on_step)
        if self._stops():
            self._leave()
        if progress.batches < self._batches:
            raise FailureError(f"the data ended after {progress.batches} of {self._batches} batches: are they whole?")
        line = self._line(number, progress)
        if line is None:
            self._leave()
        self.history.append(line)
        self.epoch, self.progress = number, Progress()
        self.report.epoch_end(line, self.source.val_count)
        self.scalars.add(line)
        self.folder.record(self.learner, self.description, self._state())

    @property
    def _batches(self):
        """Batches of an epoch that make up whole steps."""
        return self.steps_per_epoch * self.args.accumulate

    def _rate(self, step):
        return self.schedule(step, [line["train_top1"] for line in self.history])

    def _watch(self, batches):
        """The batches, until a signal comes; processes of a job have to stop together, see `_stops`."""
        batches = itertools.islice(batches, self._batches - self.progress.batches)
        return self.interruption.watch(batches) if self.exchange.size == 1 else batches

    def _stops(self, step=0):
        """Whether to stop after `step`: all processes, if one of them was told to."""
        told = self.interruption.signal is not None
        if self.exchange.size == 1:
            return told
        return step % _AGREE_EVERY == 0 and self.exchange.sum([told])[0] > 0

    def _line(self, number, progress):
        """The epoch's line of the history; None if a signal came meanwhile."""
        images, *sums = self.exchange.sum([progress.images, *progress.meter.sums()])
        line = {
            "epoch": number,
            "learning_rate": progress.learning_rate,
            "images_per_second": round(progress.images_per_second * images / progress.images, 3),
            "data_wait": round(progress.data_wait, 4),
            "skipped_steps": progress.skipped_steps,
            **{f"train_{name}": value for name, value in type(progress.meter)(sums).metrics.items()},
        }
        self.learner.share_running_statistics()
        for prefix, average in (("val", False), ("val_ema", True)):
            if average and not self.learner.average:
                continue
            measured = self.learner.validate(self._watch_validation(), average)
            if self.exchange.size == 1 and self.interruption.signal:
                return None
            check_count(measured)
            line.update({f"{prefix}_{name}": value for name, value in measured.items()})
        return line

    def _watch_validation(self):
        batches = self.source.validation()
        return self.interruption.watch(batches) if self.exchange.size == 1 else batches

    def _state(self):
        return {
            "epoch": self.epoch,
            "batch": self.progress.batches,
            "batches": self._batches_in_numbers(),
            "progress": self.progress.state(),
            "history": self.history,
        }

    def _batches_in_numbers(self):
        """What the batches of an epoch depend on: with other numbers, half an epoch cannot be gone on with."""
        return [self.args.seed, self.source.batch_size, self.exchange.size, self.args.accumulate, self._batches]

    def _leave(self):
        """Save where the run stands, and end it."""
        number = self.interruption.signal or signal.SIGTERM
        where = self.folder.save(self.learner, self.description, self._state())
        message = f"stopped by {number.name}, saved {where}: --resume goes on there"
        self.report.line(message)
        raise InterruptedRunError(message, number)
