"""A process that has imported everything and forks one child for each case: a new process takes seconds to start.

As a program it reads requests, one line of JSON each, and answers each with such a line. `Zygote` is its other end.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import json
import os
import pathlib
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings

from tests.fuzz.case import Outcome
from tests.helpers.processes import ROOT

__all__ = ["Zygote"]

# What commands import when they run.
_MODULES = (
    *("deploy.exporting", "deploy.onnx_file", "deploy.prediction_output", "deploy.quantization", "distributed"),
    *("insight.attention_report", "insight.cost_report", "insight.curves", "insight.table_report"),
    *("training", "training.preflight", "training.throughput"),
)
_LIBRARIES = ("matplotlib.backends.backend_agg", "onnxruntime", "requests", "scipy.special", "sklearn.datasets", "yaml")


class Zygote:
    """A process that runs cases one after the other.

    Parameters
    ----------
    poison : int
        A byte; memory that the C library hands out is filled with it.
    """

    def __init__(self, poison: int) -> None:
        threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.fuzz.zygote"],
            cwd=ROOT,
            env={**os.environ, **threads, "MALLOC_PERTURB_": str(poison), "COLUMNS": "120"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, case, folder):
        """Run a case in a folder, which is made anew; returns its `Outcome`."""
        shutil.rmtree(folder, ignore_errors=True)
        places = {name: str(folder / name) for name in ("here", "tmp", "output", "errors")}
        for name in ("here", "tmp"):
            pathlib.Path(places[name]).mkdir(parents=True)
        case.write(folder / "here")
        environment = {name: value.format(folder=places["here"]) for name, value in case.environment.items()}
        limits = {"stop": case.stop, "seconds": case.seconds, "memory": case.memory}
        request = {"words": case.words, "environment": environment, **limits, **places}
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        texts = {name: (folder / name).read_text("utf-8", "backslashreplace") for name in ("output", "errors")}
        return Outcome(**answer, **texts, folder=folder / "here", temporary=folder / "tmp")

    def close(self):
        """End the process."""
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(60)


def _serve():
    warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads
    from tests.fuzz.programs import PROGRAMS

    for name in (*(f"a2net_gluon.{name}" for name in _MODULES), *_LIBRARIES):
        importlib.import_module(name)
    gc.collect()
    gc.freeze()  # a collection in a child would copy all memory
    pr_set_child_subreaper = 36
    ctypes.CDLL(None).prctl(pr_set_child_subreaper, 1)  # what a child leaves behind becomes a child of this process
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if not child:
            _begin(request)
            sys.exit(PROGRAMS[request["words"][0]](request["words"][1:]))
        print(json.dumps(_watch(child, request)), flush=True)


def _begin(request):
    """Make this child look like a process that a shell started in the folder of the case."""
    os.chdir(request["here"])
    os.environ.update(request["environment"], TMPDIR=request["tmp"], PYTHONPATH=str(ROOT))
    tempfile.tempdir = None
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for number, path in enumerate((os.devnull, request["output"], request["errors"])):
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT), number)
    warnings.simplefilter("default", UserWarning)


def _watch(child, request):
    """Wait for the end of a child, or end it; returns the fields of an `Outcome`."""
    begin, killed, stop = time.monotonic(), None, request["stop"]
    while True:
        ended, status, usage = os.wait4(child, os.WNOHANG if not killed else 0)
        if ended:
            break
        seconds = time.monotonic() - begin
        if stop and seconds > stop:
            os.kill(child, signal.SIGTERM)
            stop = None
        if seconds > request["seconds"]:
            killed = f"{request['seconds']} s"
        if _memory(child) > request["memory"]:
            killed = f"{request['memory'] >> 20} MiB"
        if killed:
            os.kill(child, signal.SIGKILL)
        time.sleep(0.01)
    code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else -os.WTERMSIG(status)
    return {"code": code, "peak": usage.ru_maxrss * 1024, "killed": killed, "left": _end_others()}


def _memory(process):
    with contextlib.suppress(OSError, IndexError):  # it has ended
        return int(pathlib.Path(f"/proc/{process}/statm").read_text().split()[1]) * resource.getpagesize()
    return 0


def _end_others():
    """Wait two seconds for the processes that a case has started, and kill those that are left; returns their number.

    All of them are children of this process by now.
    """
    left, deadline = set(), time.monotonic() + 2
    with contextlib.suppress(ChildProcessError):  # there are none any more
        while True:
            if not os.waitpid(-1, os.WNOHANG)[0]:
                if time.monotonic() > deadline:
                    left.update(_kill_children())
                time.sleep(0.01)
    return len(left)


def _kill_children():
    children = pathlib.Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    for child in map(int, children):
        os.kill(child, signal.SIGKILL)
    return children


if __name__ == "__main__":
    _serve()
