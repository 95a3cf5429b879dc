"""Runs side by side, each in a process of its own; a signal, or a run that fails, stops all of them."""

from __future__ import annotations

import collections
import os
import signal
import subprocess
import sys
import tempfile
import time
import typing

from a2net_gluon import environment
from a2net_gluon.ablation.plan import PlannedRun
from a2net_gluon.errors import FailureError, InterruptedRunError
from a2net_gluon.options import words_of
from a2net_gluon.training.interruption import Interruption

__all__ = ["execute"]

_WORKER = [sys.executable, "-m", "a2net_gluon.ablation.worker"]
_POLL = 0.1  # seconds
_STOP_TIMEOUT = 600  # seconds for the runs to save their state, as in `a2net_gluon.distributed`

Tell = typing.Callable[[str], object]


def execute(runs: typing.Sequence[PlannedRun], jobs: int, metric: str, tell: Tell) -> None:
    """Train those of `runs` that are not done, `jobs` at a time.

    Parameters
    ----------
    runs : list of PlannedRun
    jobs : int
    metric : str
        That every run has to measure.
    tell : callable
        Called with a line of text when a run is done: its result, and about how long the others will take.

    Raises
    ------
    FailureError
        If a run fails; the others are stopped, and resume at the next start.
    InterruptedRunError
        On SIGTERM or SIGINT, after the state of all runs is saved.
    """
    progress = _Progress(runs, jobs, metric, tell)
    waiting = collections.deque(one for one in runs if one.result() is None)
    running: list[_Process] = []
    with Interruption() as interruption:
        try:
            while waiting or running:
                if interruption.signal:
                    reason = f"stopped by {interruption.signal.name}, {progress.done} of {len(runs)} runs are done"
                    raise InterruptedRunError(f"{reason}: the same command continues", interruption.signal)
                while waiting and len(running) < jobs:
                    running.append(_Process(waiting.popleft(), metric))
                for one in [one for one in running if one.ended]:
                    running.remove(one)
                    one.check()
                    progress.add(one.run)
                time.sleep(_POLL)
        finally:
            _stop(running)


class _Process:
    """A process that trains one run."""

    def __init__(self, run: PlannedRun, metric: str) -> None:
        self.run = run
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115  (closed with this object)
        # One thread each: the same bits however many runs there are at a time.
        threads = {environment.THREADS: "1"} if environment.threads_are_free() else {}
        words = [*_WORKER, str(os.getpid()), metric, *words_of(run.training)]
        # A session of its own: Ctrl-C at the terminal reaches this process alone, which stops the others.
        self._process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self._complaints,
            env={**os.environ, **threads},
            start_new_session=True,
        )

    @property
    def ended(self) -> bool:
        """Whether the process has ended."""
        return self._process.poll() is not None

    def check(self) -> None:
        """Raise FailureError unless the process has ended with a result."""
        code, result = self._process.wait(), self.run.result()
        if code or result is None:
            self._complaints.seek(0)
            lines = self._complaints.read().decode("utf-8", "replace").strip().splitlines() or ["no reason given"]
            reason = lines[-1].partition("error: ")[2] or lines[-1]
            raise FailureError(f"{self.run.name}: {reason} (exit code {code}; run folder {self.run.folder})")

    def signal(self) -> None:
        """Ask the run to save its state and to end."""
        self._process.send_signal(signal.SIGTERM)

    def end(self, timeout: float) -> None:
        """Wait for the end of the process, and end it by force if that takes longer than `timeout` seconds."""
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _stop(running: typing.Sequence[_Process]) -> None:
    """Stop runs, all at the same time."""
    for one in running:
        one.signal()
    deadline = time.monotonic() + _STOP_TIMEOUT
    for one in running:
        one.end(max(0.0, deadline - time.monotonic()))


class _Progress:
    """The number of runs that are done, and the time that the others will take."""

    def __init__(self, runs: typing.Sequence[PlannedRun], jobs: int, metric: str, tell: Tell) -> None:
        self._total, self._jobs, self._metric, self._tell = len(runs), jobs, metric, tell
        self.done = self._before = sum(one.result() is not None for one in runs)
        self._started = time.monotonic()
        if self.done:
            tell(f"{self.done} of {self._total} runs are done already")

    def add(self, run: PlannedRun) -> None:
        """Count a run that has ended, and tell of it."""
        self.done += 1
        result = run.result()
        assert result is not None  # checked
        left, trained = self._total - self.done, self.done - self._before
        minutes = (time.monotonic() - self._started) / trained * left / 60
        rest = f"; about {minutes:.0f} minutes left" if left else ""
        value = f"{100 * result['metrics'][self._metric]:.2f} %"
        self._tell(f"{self.done} of {self._total} runs: {run.name}: {value}{rest}")
