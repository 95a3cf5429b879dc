"""Implementations in processes of their own, which take turns: A B C A B C."""

import contextlib
import dataclasses
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
from multiprocessing.connection import wait

from a2net_gluon.errors import FailureError, InterruptedRunError

__all__ = [
    "PEERS",
    "Implementation",
    "ImplementationError",
    "Worker",
    "ending_on_signals",
    "peers_python",
    "take_turns",
]

ROOT = pathlib.Path(__file__).parent.parent
# Large arrays stay in the heap, in huge pages. By default malloc maps and unmaps them in every layer, and each page
# is faulted in again. MXNet gains by it, and PyTorch more.
TUNED_MALLOC = f"glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold={1 << 33}:glibc.malloc.trim_threshold={1 << 34}"
# Modules that run in the environment of requirements/bench.txt, by the family of what they serve.
PEERS = {"torch": "torch_worker", "video peer": "peer_videos"}
PAUSE = 0.2  # seconds in which threads of the previous implementation stop spinning


class ImplementationError(FailureError):
    """An implementation cannot run; the message is the reason, one line."""


@dataclasses.dataclass(frozen=True)
class Implementation:
    """The task of one process, see mxnet_worker.py, and the modules of `PEERS`."""

    name: str
    family: str  # "mxnet", "onnxruntime", "torch", "video peer", "sgemm" or "command"
    task: dict
    tuned: bool = False  # run with `TUNED_MALLOC`
    images: int = 1  # of a run: reported times are divided by it

    def environment(self, threads):
        """Return the environment variables of its process."""
        variables = {name: value for name, value in os.environ.items() if name not in ("GLIBC_TUNABLES", "PYTHONPATH")}
        names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
        variables.update(dict.fromkeys(names, str(threads)))
        variables["TORCHINDUCTOR_COMPILE_THREADS"] = "1"  # no pool of compilers that stays
        if self.tuned:
            variables["GLIBC_TUNABLES"] = TUNED_MALLOC
        return variables


def peers_python():
    """Return the Python that has PyTorch: $PEERS_PYTHON, default: the one that ``make bench`` installs."""
    return pathlib.Path(os.environ.get("PEERS_PYTHON", ROOT / ".venv-bench" / "bin" / "python"))


class Worker:
    """The process of an implementation, from `start` to `close`.

    It computes with ``settings.threads``, and has ``settings.timeout`` seconds for each answer; the first includes
    compilation and a run. `variables` are further ones of its environment.
    """

    def __init__(self, implementation, settings, variables=None):
        self.implementation, self._timeout = implementation, settings.timeout
        self._environment = {**implementation.environment(settings.threads), **(variables or {})}
        self._process = None
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  (until `close`)

    def start(self):
        """Start the process, wait until it is ready and return its facts."""
        family, form = self.implementation.family, self.implementation.task.get("form")
        peer = PEERS.get(family) or PEERS.get(form)
        self._process = subprocess.Popen(
            [str(peers_python()) if peer else sys.executable, "-m", f"benchmarks.{peer or 'mxnet_worker'}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            bufsize=0,
            cwd=ROOT,
            env=self._environment,
            start_new_session=True,  # a process group, which is ended as a whole: compilers and readers are in it
        )
        return self.ask({**self.implementation.task, "family": self.implementation.family})

    def ask(self, message):
        """Send a message and return the answer, both dicts; an error that it reports is an ImplementationError."""
        try:
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
        except BrokenPipeError:
            raise self._ended() from None
        if not wait([self._process.stdout], self._timeout):  # select takes no files with numbers above 1023
            raise ImplementationError(f"no answer for {self._timeout:.0f} s")
        line = self._process.stdout.readline()  # it is written at once
        if not line:
            raise self._ended()
        answer = json.loads(line)
        if "error" in answer:
            raise ImplementationError(answer["error"])
        return answer

    def written(self):
        """Return the standard error of the process so far; libraries write there too."""
        file = self._log.fileno()  # pread leaves the position at which the process writes
        return os.pread(file, os.fstat(file).st_size, 0).decode(errors="replace")

    def close(self):
        """End the process and all that it has started."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process.stdin.close()
            self._process.stdout.close()
            self._process = None
        self._log.close()

    def _ended(self):
        code = self._process.wait()
        lines = self.written().strip().splitlines() or [""]
        return ImplementationError(f"ended with {code}: {lines[-1][:300]}")


def take_turns(implementations, settings, rounds):
    """Run implementations interleaved; in every round each has a turn of ``settings.runs`` runs.

    Returns for each, in order, a dict: "seconds" of all its runs, "peak_mb" of its turns, "first_peak_mb" until it was
    ready, and its facts; or "error".
    """
    results = [{} for _ in implementations]
    workers = [Worker(each, settings) for each in implementations]
    with contextlib.ExitStack() as stack:
        for worker, result in zip(workers, results):
            stack.callback(worker.close)
            with _excluding(worker, result, settings):
                facts = worker.start()
                settings.log(f"{worker.implementation.name}: ready")
                result.update({"seconds": [], **facts}, first_peak_mb=facts["peak_mb"], peak_mb=0)
        for number in range(1, rounds + 1):
            for worker, result in zip(workers, results):
                if "error" not in result:
                    time.sleep(PAUSE)
                    with _excluding(worker, result, settings):
                        answer = worker.ask({"runs": settings.runs})
                        result["seconds"] += answer["seconds"]
                        result["peak_mb"] = max(result["peak_mb"], answer["peak_mb"])
            settings.log(f"round {number}/{rounds}")
    return results


@contextlib.contextmanager
def _excluding(worker, result, settings):
    """Exclude an implementation that fails; the others continue."""
    try:
        yield
    except ImplementationError as error:
        result["error"] = str(error)
        settings.log(f"{worker.implementation.name} is excluded: {error}")
        worker.close()


@contextlib.contextmanager
def ending_on_signals():
    """Make the first SIGINT or SIGTERM end what is inside by an exception, so that workers are ended and files removed.

    However it ends from then on (a worker is gone, the output is closed), that is an InterruptedRunError. Later signals
    do not disturb it.
    """
    numbers, came = (signal.SIGINT, signal.SIGTERM), []

    def end(number, frame):
        came.append(number)
        for each in numbers:
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, end) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if came:
            raise InterruptedRunError(f"interrupted by {signal.Signals(came[0]).name}", came[0])
