"""The folder of a run: who made it, how it went, and its checkpoints."""

import csv
import datetime
import importlib.metadata
import json
import os
import pathlib
import platform
import sys

from a2net_gluon.data.description import FILE_NAME
from a2net_gluon.errors import FailureError, UsageError
from a2net_gluon.files import folder_for_output, replacing, write_text
from a2net_gluon.insight.curves import draw_curves
from a2net_gluon.networks import save_weights
from a2net_gluon.training.checkpoints import Checkpoints

__all__ = ["RunFolder"]

_RUN = "run.json"
# Options that do not change what is trained.
_INCIDENTAL = ("keep", "log_interval", "num_workers", "resume", "save_dir", "save_frequency")


class RunFolder:
    """Where a run keeps what it makes.

    Parameters
    ----------
    args : argparse.Namespace
        Completed options of training.

    Raises
    ------
    UsageError
        If the folder holds a run that is not to be resumed, or ``--resume`` is asked for and there is none.
    """

    def __init__(self, args):
        self._args = args
        if args.resume and not args.save_dir:
            raise UsageError("--resume needs --save-dir FOLDER: the run to go on with")
        name = f"{args.model}-{datetime.datetime.now():%Y%m%d-%H%M%S}"
        self.path = pathlib.Path(args.save_dir or pathlib.Path("runs") / name)
        exists = (self.path / _RUN).is_file()
        if exists and not args.resume:
            raise UsageError(f"{self.path} holds a run already: --resume goes on with it, or name another --save-dir")
        if args.resume and not exists:
            raise UsageError(f"{self.path} holds no run to resume: leave --resume out to start one")
        self._checkpoints = Checkpoints(self.path / "checkpoints", args.keep)

    def open(self, learner, description, report):
        """Create the folder, or restore `learner` from its newest whole checkpoint; returns the history so far.

        Raises
        ------
        FailureError
            If the folder cannot be written.
        """
        folder_for_output(self.path)
        try:
            report.to_file(self.path / "log.txt")
        except OSError as error:
            raise FailureError(f"{self.path}: cannot write here ({error.strerror})") from None
        history = self._resume(learner, report) if self._args.resume else []
        self._note_start(len(history))
        description.save(self.path / FILE_NAME)
        return history

    def record(self, learner, description, history):
        """Keep the state after the last epoch of `history`, with its tables and curves."""
        best = max(history, key=lambda line: line["val_top1"])
        if best is history[-1]:
            with replacing(self.path / "best.params") as temporary:
                save_weights(learner.net, temporary)
        epoch = len(history)
        if epoch % self._args.save_frequency == 0 or epoch == self._args.num_epochs:
            self._checkpoints.save(learner, description, epoch, history)
        with replacing(self.path / "metrics.csv") as temporary, open(temporary, "w", newline="") as file:
            table = csv.DictWriter(file, history[-1])
            table.writeheader()
            table.writerows(history)
        draw_curves(history, self.path / "curves.png")

    def _resume(self, learner, report):
        self._checkpoints.clean()
        folder, state, rejected = self._checkpoints.newest()
        for reason in rejected:
            report.line(f"not resumed from {reason}")
        for name, (before, now) in self._changed_arguments().items():
            report.line(f"--{name.replace('_', '-')} is {now}, was {before} when this run was last started")
        if folder is None:
            report.line(f"{self.path} has no whole checkpoint: starting from the beginning")
            return []
        self._checkpoints.restore(folder, learner)
        report.line(f"resumed from {folder} after {state['epoch']} epochs")
        return state["history"]

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

    def _note_start(self, epochs_done):
        start = {
            "time": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
            "epochs_done": epochs_done,
            "command": sys.argv,
            "arguments": vars(self._args),
            "versions": _versions(),
        }
        write_text(self.path / _RUN, json.dumps({"starts": [*self._starts(), start]}, indent=1) + "\n")


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
