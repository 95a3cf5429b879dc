"""The folder of a run: who made it, how it went, and its checkpoints."""

import csv
import datetime
import importlib.metadata
import json
import os
import pathlib
import platform
import shutil
import sys

from a2net_gluon.errors import FailureError, UsageError
from a2net_gluon.files import folder_for_output, replacing, write_text
from a2net_gluon.insight.curves import Panel, draw_curves
from a2net_gluon.networks.description import FILE_NAME
from a2net_gluon.training.checkpoints import AVERAGE, NET, Checkpoints

__all__ = ["RunFolder"]

_RUN = "run.json"
# Options that do not change what is trained.
_INCIDENTAL = (
    "auto_resume",
    "keep",
    "log_interval",
    "logging_file",
    "num_workers",
    "recipe",
    "resume",
    "save_dir",
    "save_frequency",
    "tensorboard",
)
_PANELS = (
    Panel("loss", {"train_loss": "training", "val_loss": "validation"}),
    Panel(
        "accuracy, %",
        {"train_top1": "training top-1", "val_top1": "validation top-1", "val_top5": "validation top-5"},
        factor=100,
    ),
    Panel("learning rate", {"learning_rate": "at the end of the epoch"}),
)
# Parameter files beside the checkpoints: the result they are the best by, and what they are in a checkpoint.
_BEST = {"best.params": ("val_top1", NET), "best-ema.params": ("val_ema_top1", AVERAGE)}


class RunFolder:
    """Where a run keeps what it makes.

    Of a job's processes only the first writes here, besides a log of each; all read.

    Parameters
    ----------
    args : argparse.Namespace
        Completed options of training.
    exchange : Communicator

    Raises
    ------
    UsageError
        If the folder holds a run that is not to be resumed, or ``--resume`` is asked for and there is none.
    """

    def __init__(self, args, exchange):
        self._args, self._exchange = args, exchange
        if not args.save_dir and (args.resume or args.auto_resume or exchange.size > 1):
            flag = "--resume" if args.resume else "--auto-resume" if args.auto_resume else "a job of several processes"
            raise UsageError(f"{flag} needs --save-dir FOLDER: the run to go on with")
        name = f"{args.model}-{datetime.datetime.now():%Y%m%d-%H%M%S}"
        self.path = pathlib.Path(args.save_dir or pathlib.Path("runs") / name)
        self._resumes = (self.path / _RUN).is_file()
        if self._resumes and not (args.resume or args.auto_resume):
            raise UsageError(f"{self.path} holds a run already: --resume goes on with it, or name another --save-dir")
        if args.resume and not self._resumes:
            raise UsageError(f"{self.path} holds no run to resume: leave --resume out to start one")
        self._checkpoints = Checkpoints(self.path / "checkpoints", args.keep)
        exchange.wait()  # until all have looked: the first one is about to write

    def open(self, learner, description, report):
        """Create the folder, or restore `learner` from its newest whole checkpoint; returns the state, or None.

        Raises
        ------
        FailureError
            If the folder cannot be written.
        """
        folder_for_output(self.path)
        rank = self._exchange.rank
        log = pathlib.Path(self._args.logging_file)
        try:
            report.to_file(self.path / (log.with_name(f"{log.stem}-rank{rank}{log.suffix}") if rank else log))
        except OSError as error:
            raise FailureError(f"{self.path}: cannot write here ({error.strerror})") from None
        state = self._resume(learner, report) if self._resumes else None
        if rank == 0:
            self._note_start(state)
            description.save(self.path / FILE_NAME)
        return state

    def save(self, learner, description, state):
        """Write a checkpoint; returns its folder."""
        learner.share_running_statistics()
        arguments = {"seed": self._args.seed, "arguments": vars(self._args)}
        if self._exchange.rank == 0:
            best = _best_epoch(state["history"], "val_top1")
            self._checkpoints.save(learner, description, {**state, **arguments}, best)
        self._exchange.wait()
        return self._checkpoints.folder(state["epoch"], state["batch"])

    def record(self, learner, description, state):
        """Keep the state at the end of an epoch, with tables and curves.

        An epoch that is the best so far has a checkpoint whatever ``--save-frequency`` is: so the best parameters
        are always those of a state that can be gone back to.
        """
        history, epoch = state["history"], state["epoch"]
        best = [name for name, (column, _) in _BEST.items() if _best_epoch(history, column) == epoch]
        if best or epoch % self._args.save_frequency == 0 or epoch == self._args.num_epochs:
            folder = self.save(learner, description, state)
        if self._exchange.rank:
            return
        for name in best:
            _copy(folder / _BEST[name][1], self.path / name)
        columns = list(dict.fromkeys(column for line in history for column in line))
        with replacing(self.path / "metrics.csv") as temporary, open(temporary, "w", newline="") as file:
            table = csv.DictWriter(file, columns, restval="")
            table.writeheader()
            table.writerows(history)
        draw_curves(history, self.path / "curves.png", _PANELS)

    def newest_checkpoint(self):
        """The newest checkpoint, or None, to be named when training fails."""
        return self._checkpoints.newest_folder()

    def _resume(self, learner, report):
        found = None
        if self._exchange.rank == 0:
            self._checkpoints.clean()
            found = self._checkpoints.newest()
        self._exchange.wait()
        folder, state, rejected = found or self._checkpoints.newest(repair=False)
        for reason in rejected:
            report.line(f"not resumed from {reason}")
        for name, (before, now) in self._changed_arguments().items():
            report.line(f"--{name.replace('_', '-')} is {now}, was {before} when this run was last started")
        place = state["epoch"] * 1e6 + state["batch"] if state else 0
        if self._exchange.sum([place])[0] != place * self._exchange.size:
            raise FailureError(f"{self.path}: processes see different checkpoints; the folder must be shared by all")
        if folder is None:
            report.line(f"{self.path} has no whole checkpoint: starting from the beginning")
            return None
        self._checkpoints.restore(folder, state, learner)
        where = f" and {state['batch']} batches" if state["batch"] else ""
        report.line(f"resumed from {folder} after {state['epoch']} epochs{where}")
        self._restore_best(state["history"])
        return state

    def _restore_best(self, history):
        """Have the best parameters be those of the best epoch known, if later ones were lost."""
        for name, (column, part) in _BEST.items():
            epoch = _best_epoch(history, column)
            source = self._checkpoints.folder(epoch) / part if epoch else None
            if self._exchange.rank == 0 and source and source.exists():
                _copy(source, self.path / name)

    def _starts(self):
        path = self.path / _RUN
        if not path.exists():
            return []
        try:
            return json.loads(path.read_text())["starts"]
        except (ValueError, KeyError, TypeError):
            raise FailureError(f"{path} is damaged: restore it, or train into another --save-dir") from None

    def _changed_arguments(self):
        before, now = self._starts()[-1]["arguments"], vars(self._args)
        names = [name for name in now if name in before and name not in _INCIDENTAL and now[name] != before[name]]
        return {name: (before[name], now[name]) for name in names}

    def _note_start(self, state):
        start = {
            "time": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
            "epochs_done": state["epoch"] if state else 0,
            "batches_done": state["batch"] if state else 0,
            "processes": self._exchange.size,
            "command": sys.argv,
            "arguments": vars(self._args),
            "versions": _versions(),
        }
        write_text(self.path / _RUN, json.dumps({"starts": [*self._starts(), start]}, indent=1) + "\n")


def _best_epoch(history, column):
    """Number of the first epoch with the highest value in `column`, or None."""
    lines = [line for line in history if column in line]
    return max(lines, key=lambda line: line[column])["epoch"] if lines else None


def _copy(source, target):
    with replacing(target) as temporary:
        shutil.copyfile(source, temporary)


def _versions():
    import a2net_gluon

    packages = {}
    for name in ("mxnet", "mxnet-cu112", "numpy", "opencv-python"):
        try:
            packages[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "a2net-gluon": a2net_gluon.__version__,
        "python": platform.python_version(),
        **packages,
        "system": platform.platform(),
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS"),
    }
