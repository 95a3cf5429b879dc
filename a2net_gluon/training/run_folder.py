"""The folder of a run: its settings, its results and its checkpoints."""

from __future__ import annotations

import csv
import datetime
import importlib.metadata
import json
import os
import pathlib
import platform
import shutil
import sys
import typing

from a2net_gluon.distributed.communicator import Communicator
from a2net_gluon.errors import FailureError, UsageError
from a2net_gluon.fields import flat
from a2net_gluon.files import folder_for_output, replacing, write_text
from a2net_gluon.insight.curves import Panel, draw_curves
from a2net_gluon.networks.description import FILE_NAME, Description
from a2net_gluon.settings import Training
from a2net_gluon.settings.training import changed_options
from a2net_gluon.training.checkpoints import Checkpoints
from a2net_gluon.training.learner_state import AVERAGE, NET
from a2net_gluon.training.metrics import Meter, best_epoch
from a2net_gluon.training.report import Report

__all__ = ["RunFolder"]

_RUN = "run.json"

State = typing.Dict[str, typing.Any]
Write = typing.Callable[[pathlib.Path], typing.Mapping[str, typing.Any]]
Restore = typing.Callable[[pathlib.Path, typing.Mapping[str, typing.Any]], None]


class RunFolder:
    """The files of a run.

    Only the first process of a job writes here, except that each process has a log; all processes read.

    Parameters
    ----------
    training : settings.Training
        Resolved.
    communicator : Communicator
    meter : type
        Class of the `Meter` that names the results.

    Raises
    ------
    UsageError
        If the folder holds a run that is not to be resumed, or ``--resume`` is asked for and there is none.
    """

    def __init__(self, training: Training, communicator: Communicator, meter: type[Meter]) -> None:
        self._training, self._communicator, self._meter = training, communicator, meter
        run, save_dir = training.run, training.save_dir
        if not save_dir and (run.resume or run.auto_resume or communicator.size > 1):
            flag = "--resume" if run.resume else "--auto-resume" if run.auto_resume else "a job of several processes"
            raise UsageError(f"{flag} needs --save-dir FOLDER: the folder of the run")
        name = f"{training.network.name}-{datetime.datetime.now():%Y%m%d-%H%M%S}"
        self.path = pathlib.Path(save_dir or pathlib.Path("runs") / name)
        self._resumes = (self.path / _RUN).is_file()
        if self._resumes and not (run.resume or run.auto_resume):
            raise UsageError(f"{self.path} holds a run already: --resume continues it, or name another --save-dir")
        if run.resume and not self._resumes:
            raise UsageError(f"{self.path} holds no run to resume: leave --resume out to start one")
        self._checkpoints = Checkpoints(self.path / "checkpoints", run.keep)
        # Parameter files beside the checkpoints: the column that decides which is best, and the name in a checkpoint.
        self._best = {
            "best.params": (f"val_{meter.headline}", NET),
            "best-ema.params": (f"val_ema_{meter.headline}", AVERAGE),
        }
        communicator.wait()  # until all processes have looked, before the first one writes

    def open(self, description: Description, report: Report, restore: Restore) -> State | None:
        """Create the folder, or resume its run.

        Parameters
        ----------
        description : Description
        report : Report
            Logs to the folder from now on.
        restore : callable
            ``restore(folder, state)`` loads the files of the newest whole checkpoint into the learner.

        Returns
        -------
        dict or None
            The state that was restored.

        Raises
        ------
        FailureError
            If the folder cannot be written.
        """
        folder_for_output(self.path)
        rank = self._communicator.rank
        log = pathlib.Path(self._training.run.logging_file)
        try:
            report.to_file(self.path / (log.with_name(f"{log.stem}-rank{rank}{log.suffix}") if rank else log))
        except OSError as error:
            raise FailureError(f"{self.path}: cannot write here ({error.strerror})") from None
        state = self._resume(report, restore) if self._resumes else None
        if rank == 0:
            self._note_start(state)
            description.save(self.path / FILE_NAME)
        return state

    def save(self, write: Write, state: State) -> pathlib.Path:
        """Write a checkpoint, see `Checkpoints.save`; returns its folder."""
        arguments = {"seed": self._training.seed, "arguments": flat(self._training)}
        if self._communicator.rank == 0:
            best = _best_epoch(state["history"], f"val_{self._meter.headline}")
            self._checkpoints.save(write, {**state, **arguments}, best)
        self._communicator.wait()
        return self._checkpoints.folder(state["epoch"], state["batch"])

    def record(self, write: Write, state: State) -> None:
        """Store the state at the end of an epoch, with tables and curves.

        An epoch that is the best so far always has a checkpoint, whatever ``--save-frequency`` is, so that the best
        parameters belong to a state that can be resumed.
        """
        history, epoch = state["history"], state["epoch"]
        best = [name for name, (column, _) in self._best.items() if _best_epoch(history, column) == epoch]
        if best or epoch % self._training.run.save_frequency == 0 or epoch == self._training.epochs:
            folder = self.save(write, state)
        if self._communicator.rank:
            return
        for name in best:
            _copy(folder / self._best[name][1], self.path / name)
        columns = list(dict.fromkeys(column for row in history for column in row))
        with replacing(self.path / "metrics.csv") as temporary, open(temporary, "w", newline="") as file:
            table = csv.DictWriter(file, columns, restval="")
            table.writeheader()
            table.writerows(history)
        draw_curves(history, self.path / "curves.png", _panels(self._meter))

    def newest_checkpoint(self) -> pathlib.Path | None:
        """The newest checkpoint, or None, to be named when training fails."""
        return self._checkpoints.newest_folder()

    def _resume(self, report: Report, restore: Restore) -> State | None:
        found = None
        if self._communicator.rank == 0:
            self._checkpoints.clean()
            found = self._checkpoints.newest()
        self._communicator.wait()
        folder, state, rejected = found or self._checkpoints.newest(repair=False)
        for reason in rejected:
            report.line(f"not resumed from {reason}")
        for name, (before, now) in changed_options(self._starts()[-1]["arguments"], flat(self._training)).items():
            report.line(f"--{name.replace('_', '-')} is {now}, was {before} when this run was last started")
        place = state["epoch"] * 1e6 + state["batch"] if state else 0
        if self._communicator.sum([place])[0] != place * self._communicator.size:
            raise FailureError(f"{self.path}: processes see different checkpoints; the folder must be shared by all")
        if folder is None or state is None:
            report.line(f"{self.path} has no whole checkpoint: starting from the beginning")
            return None
        restore(folder, state["learner"])
        where = f" and {state['batch']} batches" if state["batch"] else ""
        report.line(f"resumed from {folder} after {state['epoch']} epochs{where}")
        self._restore_best(state["history"])
        return state

    def _restore_best(self, history: typing.Sequence[typing.Mapping[str, typing.Any]]) -> None:
        """Copy the best parameters of the epochs that are left, if later epochs were lost."""
        for name, (column, part) in self._best.items():
            epoch = _best_epoch(history, column)
            source = self._checkpoints.folder(epoch) / part if epoch else None
            if self._communicator.rank == 0 and source and source.exists():
                _copy(source, self.path / name)

    def _starts(self) -> list[State]:
        path = self.path / _RUN
        if not path.exists():
            return []
        try:
            return json.loads(path.read_text())["starts"]
        except (ValueError, KeyError, TypeError):
            raise FailureError(f"{path} is damaged: restore it, or train into another --save-dir") from None

    def _note_start(self, state: State | None) -> None:
        start = {
            "time": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
            "epochs_done": state["epoch"] if state else 0,
            "batches_done": state["batch"] if state else 0,
            "processes": self._communicator.size,
            "command": sys.argv,
            "arguments": flat(self._training),
            "versions": _versions(),
        }
        write_text(self.path / _RUN, json.dumps({"starts": [*self._starts(), start]}, indent=1) + "\n")


def _panels(meter: type[Meter]) -> tuple[Panel, ...]:
    """The panels of the curves: losses, accuracies in percent, the learning rate."""
    parts = {"train": "training", "val": "validation"}

    def curves(fraction: bool) -> dict[str, str]:
        return {
            f"{part}_{column.name}": f"{name} {column.label}"
            for column in meter.columns
            for part, name in parts.items()
            if column.fraction == fraction
        }

    return (
        Panel("loss", curves(fraction=False), 1),
        Panel("accuracy, %", curves(fraction=True), 100),
        Panel("learning rate", {"learning_rate": "at the end of the epoch"}, 1),
    )


def _best_epoch(history: typing.Iterable[typing.Mapping[str, typing.Any]], column: str) -> int | None:
    """Number of the first epoch with the highest value in `column`, or None."""
    best = best_epoch(history, column)
    return best["epoch"] if best else None


def _copy(source: pathlib.Path, target: pathlib.Path) -> None:
    with replacing(target) as temporary:
        shutil.copyfile(source, temporary)


def _versions() -> dict[str, str | None]:
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
