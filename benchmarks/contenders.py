"""Contenders as processes of their own, which take turns: A B C A B C."""

import contextlib
import dataclasses
import functools
import json
import os
import pathlib
import select
import signal
import subprocess
import sys
import tempfile
import time

__all__ = [
    "Contender",
    "ContenderError",
    "Worker",
    "end_group",
    "environment",
    "last_words",
    "peers_python",
    "take_turns",
]

ROOT = pathlib.Path(__file__).parent.parent
# Large arrays stay in the heap instead of being mapped and unmapped, faulted in page by page, in every layer; and lie
# in huge pages. Both runtimes win by it, PyTorch most.
TUNED_MALLOC = ":".join(
    f"glibc.malloc.{name}={value}"
    for name, value in (("hugetlb", 1), ("mmap_threshold", 1 << 33), ("trim_threshold", 1 << 34))
)
PAUSE = 0.2  # seconds in which threads of the contender before give up spinning


class ContenderError(RuntimeError):
    """A contender cannot run; the message is the reason, one line."""


@dataclasses.dataclass(frozen=True)
class Contender:
    """What one process is to do.

    Attributes
    ----------
    name : str
        As the tables have it.
    family : str
        "mxnet", "onnxruntime", "torch", "sgemm" or "command" (commands.py).
    task : dict
        See mxnet_worker.py and torch_worker.py.
    tuned : bool
        Run with `TUNED_MALLOC`.
    """

    name: str
    family: str
    task: dict
    tuned: bool = False

    @property
    def in_torch(self):
        """Whether it runs in the peers' environment."""
        return self.family == "torch" or self.task["form"] == "torch"


def peers_python():
    """The Python of the peers' environment: $PEERS_PYTHON, or that which ``make bench`` installs."""
    return pathlib.Path(os.environ.get("PEERS_PYTHON", ROOT / ".venv-bench" / "bin" / "python"))


class Worker:
    """The process of a contender, from `start` to `close`.

    Parameters
    ----------
    contender : Contender
    threads : int
        Of everything it may compute with.
    timeout : float
        Seconds for an answer; compilation and the first run are in the first.
    variables : dict of str to str
        Of its environment, besides those every contender has.
    """

    def __init__(self, contender, threads, timeout, variables=None):
        self.contender, self._timeout = contender, timeout
        self.environment = {**environment(contender, threads), **(variables or {})}
        self._process, self._received = None, b""
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  (until `close`)

    def start(self):
        """Start the process and wait until it is ready; returns what it tells about itself."""
        python = peers_python() if self.contender.in_torch else pathlib.Path(sys.executable)
        if not python.is_file():
            raise ContenderError(f"{python}: no such environment; make bench installs it")
        module = "benchmarks.torch_worker" if self.contender.in_torch else "benchmarks.mxnet_worker"
        self._process = subprocess.Popen(
            [str(python), "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            bufsize=0,
            cwd=ROOT,
            env=self.environment,
            start_new_session=True,  # a group of its own, which is ended as a whole: compilers are started too
        )
        return self.ask({**self.contender.task, "family": self.contender.family})

    def ask(self, message):
        """Send a message and return the answer; raises ContenderError."""
        try:
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
        except BrokenPipeError:
            raise ContenderError(self._last_words()) from None
        answer = json.loads(self._line())
        if "error" in answer:
            raise ContenderError(answer["error"])
        return answer

    def written(self):
        """What the process has written to its standard error so far, libraries' output among it."""
        file = self._log.fileno()  # where the process writes next is not to be moved
        return os.pread(file, os.fstat(file).st_size, 0).decode(errors="replace")

    def close(self):
        """End the process and all it has started."""
        if self._process is None:
            return
        end_group(self._process)
        self._process.stdin.close()
        self._process.stdout.close()
        self._log.close()
        self._process = None

    def _line(self):
        deadline = time.monotonic() + self._timeout
        while b"\n" not in self._received:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._process.stdout], [], [], left)[0]:
                raise ContenderError(f"no answer for {self._timeout:.0f} s")
            part = self._process.stdout.read(65536)
            if not part:
                raise ContenderError(self._last_words())
            self._received += part
        line, _, self._received = self._received.partition(b"\n")
        return line

    def _last_words(self):
        code = self._process.wait()
        return last_words(code, self.written())


def end_group(process):
    """End a process that has a group of its own, and all it has started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def last_words(code, written):
    """Why a process is out that ended with `code` after it had `written` that."""
    lines = written.strip().splitlines() or [""]
    return f"ended with {code}: {lines[-1][:300]}"


def environment(contender, threads):
    """The environment variables of a contender's process."""
    variables = {name: value for name, value in os.environ.items() if name not in ("GLIBC_TUNABLES", "PYTHONPATH")}
    variables.update(dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(threads)))
    variables["TORCHINDUCTOR_COMPILE_THREADS"] = "1"  # no pool of compilers that stays
    if contender.tuned:
        variables["GLIBC_TUNABLES"] = TUNED_MALLOC
    return variables


def take_turns(contenders, threads, rounds, runs, timeout, tell):
    """Run contenders side by side.

    Parameters
    ----------
    contenders : list of Contender
    threads : int
    rounds, runs : int
        In every round each contender has one turn of so many runs.
    timeout : float
        Seconds for each answer.
    tell : callable
        Takes lines of progress.

    Returns
    -------
    list of dict
        For each contender, in order: "seconds" of all its runs, "peak_mb" of its turns, "first_peak_mb" until it was
        ready, and what it tells about itself; or "error".
    """
    results = [{} for _ in contenders]
    workers = [Worker(contender, contender.task.get("threads", threads), timeout) for contender in contenders]
    with contextlib.ExitStack() as stack:
        for worker, result in zip(workers, results):
            stack.callback(worker.close)
            _attempt(worker, result, tell, functools.partial(_get_ready, worker, result, tell))
        for number in range(1, rounds + 1):
            for worker, result in zip(workers, results):
                if "error" not in result:
                    time.sleep(PAUSE)
                    _attempt(worker, result, tell, functools.partial(_turn, worker, result, runs))
            tell(f"round {number}/{rounds}")
    return results


def _attempt(worker, result, tell, step):
    """Do a step of a contender; if it fails, the others go on without it."""
    try:
        step()
    except ContenderError as error:
        result["error"] = str(error)
        tell(f"{worker.contender.name} is out: {error}")
        worker.close()


def _get_ready(worker, result, tell):
    facts = worker.start()
    tell(f"{worker.contender.name}: ready")
    result.update(facts, first_peak_mb=facts["peak_mb"], seconds=[], peak_mb=0)


def _turn(worker, result, runs):
    answer = worker.ask({"runs": runs})
    result["seconds"] += answer["seconds"]
    result["peak_mb"] = max(result["peak_mb"], answer["peak_mb"])
