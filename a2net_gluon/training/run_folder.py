"""The folder of a run: its settings, its results and its checkpoints."""

from __future__ import annotations

import contextlib
import datetime
import itertools
import pathlib
import re
import shutil
import typing

from a2net_gluon.distributed.communicator import Communicator
from a2net_gluon.errors import FailureError, UsageError
from a2net_gluon.fields import flat
from a2net_gluon.files import folder_for_output, output_folder, remove, remove_leftovers, replacing
from a2net_gluon.networks.description import FILE_NAME, Description
from a2net_gluon.settings import Training
from a2net_gluon.settings.training import changed_options
from a2net_gluon.training.checkpoints import Checkpoints
from a2net_gluon.training.learner_state import AVERAGE, NET
from a2net_gluon.training.metrics import Meter, best_epoch
from a2net_gluon.training.report import Report
from a2net_gluon.training.results import CURVES, TABLE, write_results
from a2net_gluon.training.run_lock import LOCK, RunLock
from a2net_gluon.training.run_record import RUN, last_arguments, note_start
from a2net_gluon.training.scalars import TENSORBOARD

__all__ = ["RunFolder"]

_CHECKPOINTS = "checkpoints"
_PARTS = {"best.params": NET, "best-ema.params": AVERAGE}  # parameter files beside the checkpoints, and in them
_NAMES = (RUN, FILE_NAME, LOCK, _CHECKPOINTS, TABLE, CURVES, TENSORBOARD, *_PARTS)

State = typing.Dict[str, typing.Any]
Write = typing.Callable[[pathlib.Path], typing.Mapping[str, typing.Any]]
Restore = typing.Callable[[pathlib.Path, typing.Mapping[str, typing.Any]], None]


class RunFolder:
    """The files of a run. Nothing is written until `hold` is entered.

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
        If the folder holds a run that is not to be resumed, ``--resume`` is asked for and there is none, or the log
        would not be a file of its own in the folder.
    """

    def __init__(self, training: Training, communicator: Communicator, meter: type[Meter]) -> None:
        self._training, self._communicator, self._meter = training, communicator, meter
        run, save_dir = training.run, training.save_dir
        if not save_dir and (run.resume or run.auto_resume or communicator.size > 1):
            flag = "--resume" if run.resume else "--auto-resume" if run.auto_resume else "a job of several processes"
            raise UsageError(f"{flag} needs --save-dir FOLDER: the folder of the run")
        self._log = _log_name(run.logging_file, communicator.rank)
        name = f"{training.network.name}-{datetime.datetime.now():%Y%m%d-%H%M%S}"
        self.path = pathlib.Path(save_dir or pathlib.Path("runs") / name)
        self._lock: RunLock | None = None
        self._begun = False
        self._data: typing.Mapping[str, str] = {}
        self._resumes = self._holds_run()
        # The columns that decide which parameters are the best.
        self._columns = dict(zip(_PARTS, (f"val_{meter.headline}", f"val_ema_{meter.headline}")))
        communicator.wait()  # until all processes have looked, before the first one writes

    def check_free(self) -> None:
        """Raise UsageError if another run has locked the folder; a lock that a killed run left is removed."""
        if (self.path / LOCK).exists():
            with RunLock(self.path):
                pass

    @contextlib.contextmanager
    def hold(self) -> typing.Iterator[None]:
        """Create the folder and lock it; on an exception before training has begun, what was written is removed.

        Raises
        ------
        UsageError
            If another run has locked it.
        FailureError
            If the folder cannot be written.
        """
        with contextlib.ExitStack() as stack:
            if self._communicator.rank == 0:
                self.path = stack.enter_context(output_folder(self.path, new=not self._training.save_dir))
                self._lock = stack.enter_context(RunLock(self.path))
                if self._holds_run() != self._resumes:
                    raise UsageError(f"{self.path}: another run has just begun or ended here; start again")
                remove_leftovers(self.path)
            self._communicator.wait()
            folder_for_output(self.path)
            stack.enter_context(self._undoing())
            yield

    def begin(self) -> None:
        """Note that training has begun: the folder stays, however the run ends."""
        self._begun = True

    def open(
        self, description: Description, data: typing.Mapping[str, str], report: Report, restore: Restore
    ) -> State | None:
        """Start the log, and resume the run that the folder holds.

        Parameters
        ----------
        description : Description
        data : dict
            The fingerprint of each part of the data.
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
        UsageError
            If the run to resume has other classes.
        FailureError
            If the folder cannot be written.
        """
        self._data = data
        try:
            report.to_file(self.path / self._log)
        except OSError as error:
            raise FailureError(f"{self.path / self._log}: cannot write here ({error.strerror})") from None
        if self._lock and not self._lock.works:
            report.line(f"{self.path}: this file system has no locks; make sure that no other run uses the folder")
        if self._communicator.rank == 0:
            self._checkpoints.clean()
        state = self._resume(description, report, restore) if self._resumes else None
        if self._communicator.rank == 0:
            note_start(
                self.path,
                epochs_done=state["epoch"] if state else 0,
                batches_done=state["batch"] if state else 0,
                processes=self._communicator.size,
                arguments=flat(self._training),
            )
            description.save(self.path / FILE_NAME)
        return state

    def save(self, write: Write, state: State) -> pathlib.Path:
        """Write a checkpoint, see `Checkpoints.save`; returns its folder."""
        more = {"seed": self._training.seed, "arguments": flat(self._training), "data": self._data}
        self.begin()
        if self._lock:  # the first process
            if not self._lock.intact:
                raise FailureError(
                    f"{self.path}: the run folder was removed or replaced during the run; nothing is saved"
                )
            best = _best_epoch(state["history"], f"val_{self._meter.headline}")
            self._checkpoints.save(write, {**state, **more}, best)
        self._communicator.wait()
        return self._checkpoints.folder(state["epoch"], state["batch"])

    def record(self, write: Write, state: State, last: bool) -> None:
        """Store the state at the end of an epoch, with tables and curves.

        An epoch that is the best so far always has a checkpoint, whatever ``--save-frequency`` is, so that the best
        parameters belong to a state that can be resumed; so has the `last` one of the run.
        """
        history, epoch = state["history"], state["epoch"]
        best = [name for name, column in self._columns.items() if _best_epoch(history, column) == epoch]
        if best or epoch % self._training.run.save_frequency == 0 or last:
            folder = self.save(write, state)
        if self._communicator.rank:
            return
        for name in best:
            _copy(folder / _PARTS[name], self.path / name)
        write_results(self.path, history, self._meter)

    def newest_checkpoint(self) -> pathlib.Path | None:
        """The newest checkpoint, or None, to be named when training fails."""
        return self._checkpoints.newest_folder()

    @property
    def _checkpoints(self) -> Checkpoints:
        return Checkpoints(self.path / _CHECKPOINTS, self._training.run.keep)

    def _holds_run(self) -> bool:
        """Whether the folder holds a run; UsageError if that is not what the settings ask for."""
        if not self._training.save_dir:
            return False
        run, holds = self._training.run, (self.path / RUN).is_file()
        if holds and not (run.resume or run.auto_resume):
            raise UsageError(f"{self.path} holds a run already: --resume continues it, or name another --save-dir")
        if not holds and self._checkpoints.newest_folder():
            raise UsageError(
                f"{self.path} holds checkpoints, but {RUN} is lost: restore it, or name another --save-dir"
            )
        if run.resume and not holds:
            raise UsageError(f"{self.path} holds no run to resume: leave --resume out to start one")
        return holds

    @contextlib.contextmanager
    def _undoing(self) -> typing.Iterator[None]:
        """On an exception, remove what this start has written, if it is the first one and training has not begun."""
        before = {path.name for path in self.path.iterdir()}
        try:
            yield
        except BaseException:
            if not self._begun and not self._resumes:
                first = {RUN, FILE_NAME, _CHECKPOINTS, TENSORBOARD} if self._communicator.rank == 0 else set()
                for name in {self._log, *first} - before:
                    with contextlib.suppress(OSError):
                        remove(self.path / name)
            raise

    def _resume(self, description: Description, report: Report, restore: Restore) -> State | None:
        arguments = last_arguments(self.path)
        found = self._checkpoints.newest() if self._communicator.rank == 0 else None
        self._communicator.wait()
        folder, state, rejected = found or self._checkpoints.newest(repair=False)
        for reason in rejected:
            report.line(f"not resumed from {reason}")
        for name, (before, now) in changed_options(arguments, flat(self._training)).items():
            report.line(f"--{name.replace('_', '-')} is {now}, was {before} when this run was last started")
        place = state["epoch"] * 1e6 + state["batch"] if state else 0
        if self._communicator.sum([place])[0] != place * self._communicator.size:
            raise FailureError(f"{self.path}: processes see different checkpoints; the folder must be shared by all")
        if folder is None or state is None:
            report.line(f"{self.path} has no whole checkpoint: starting from the beginning")
            return None
        self._check_classes(Description.load(folder / FILE_NAME), description)
        restore(folder, state["learner"])
        where = f" and {state['batch']} batches" if state["batch"] else ""
        report.line(f"resumed from {folder} after {state['epoch']} epochs{where}")
        self._restore_best(state["history"])
        return state

    def _restore_best(self, history: typing.Sequence[typing.Mapping[str, typing.Any]]) -> None:
        """Copy the best parameters of the epochs that are left, if later epochs were lost."""
        for name, column in self._columns.items():
            epoch = _best_epoch(history, column)
            source = self._checkpoints.folder(epoch) / _PARTS[name] if epoch else None
            if self._communicator.rank == 0 and source and source.exists():
                _copy(source, self.path / name)

    def _check_classes(self, before: Description, now: Description) -> None:
        pairs = itertools.zip_longest(before.classes, now.classes)
        for number, (old, new) in enumerate(pairs):
            if old != new:
                was, now_is = ("not there" if name is None else repr(name) for name in (old, new))
                raise UsageError(
                    f"{self.path}: class {number} of the data is {now_is}, was {was} when the run was last started: "
                    "resume with the same classes, or name another --save-dir"
                )


def _log_name(name: str, rank: int) -> str:
    """The name of a process's log; UsageError if it is not a file of its own in the run folder."""
    if not re.fullmatch(r"[^./\0][^/\0]*", name) or name in _NAMES:
        raise UsageError(
            f"--logging-file is {name!r}; it must be a file name in the run folder, not one of {', '.join(_NAMES)}: "
            "for example log.txt"
        )
    path = pathlib.PurePath(name)
    return f"{path.stem}-rank{rank}{path.suffix}" if rank else name


def _best_epoch(history: typing.Iterable[typing.Mapping[str, typing.Any]], column: str) -> int | None:
    """Number of the first epoch with the highest value in `column`, or None."""
    best = best_epoch(history, column)
    return best["epoch"] if best else None


def _copy(source: pathlib.Path, target: pathlib.Path) -> None:
    with replacing(target) as temporary:
        shutil.copyfile(source, temporary)
