"""The side of a contender: a process that is given a task and then runs rounds of it on demand.

One JSON object a line. First comes the task, answered when the contender is ready; then ``{"runs": 2}`` for every
round, answered with the seconds of each run. Only the standard library and NumPy, since it serves both environments.
"""

import ctypes
import itertools
import json
import os
import pathlib
import sys
import time

import numpy as np

# Of SGD with Nesterov momentum. The rate is low: random labels are learnt, and steps must stay finite.
LEARNING_RATE, MOMENTUM, WEIGHT_DECAY = 1e-3, 0.9, 1e-4


def serve(make):
    """Answer what comes on standard input.

    Parameters
    ----------
    make : callable
        ``make(task)`` returns a function without arguments that runs the task once and waits until it is done, and a
        dict of what there is to tell about it. It has run the task before it returns.
    """
    answer = _own_standard_output()
    try:
        run, facts = make(json.loads(sys.stdin.readline()))
        facts["peak_mb"] = peak_memory()
        give_memory_back()
        answer(facts)
        for line in sys.stdin:
            times = _round(run, json.loads(line)["runs"])
            give_memory_back()
            answer(times)
    except Exception as error:  # whatever it is, it belongs in the table
        lines = str(error).strip().splitlines() or [""]
        answer({"error": f"{type(error).__name__}: {lines[0][:300]}"})
        raise


def _own_standard_output():
    """A function that writes an answer to what was standard output; what libraries print goes to standard error."""
    pipe = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def answer(message):
        print(json.dumps(message), file=pipe, flush=True)

    return answer


def _round(run, runs):
    reset_peak_memory()
    run()  # untimed: after the others' turns nothing of it is in the caches
    seconds = []
    for _ in range(runs):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return {"seconds": seconds, "peak_mb": peak_memory()}


def peak_memory():
    """Largest resident memory of this process so far, or since `reset_peak_memory`, in MB."""
    # Not getrusage: its maximum survives exec, and then is that of the process that started this one.
    status = pathlib.Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) * 1024 / 1e6 for line in status.splitlines() if line.startswith("VmHWM"))


def reset_peak_memory():
    """Start `peak_memory` again from what is resident now."""
    pathlib.Path("/proc/self/clear_refs").write_text("5")


def give_memory_back():
    """Leave what malloc keeps to the others until the next turn, whose untimed run gets it again."""
    ctypes.CDLL(None).malloc_trim(0)


def taking(stream, count):
    """A run that takes `count` batches from an endless stream."""
    return lambda: [None for _ in itertools.islice(stream, count)]


def find_jpegs(folder):
    """All JPEGs below a folder, sorted."""
    paths = sorted(pathlib.Path(folder).resolve().rglob("*"))
    return [path for path in paths if path.suffix.lower() in (".jpg", ".jpeg") and path.is_file()]


def first_photographs(task):
    """The files whose crops are compared."""
    return find_jpegs(pathlib.Path(task["folder"]) / "images" / "train")[:8]


def images(task):
    """The batch of a task, the same for every contender: (N, 3, h, w), with the mean and spread of normalised pixels.

    Noise in octaves, as photos have it: the parts of every size are equally strong.
    """
    random = np.random.RandomState(task.get("seed", 0))  # the same numbers in every version of NumPy
    size = task["size"]
    total = np.zeros((task["batch"], 3, size, size))
    for width in (32, 16, 8, 4, 2, 1):
        patches = -(-size // width)
        noise = random.standard_normal((task["batch"], 3, patches, patches))
        total += noise.repeat(width, axis=2).repeat(width, axis=3)[:, :, :size, :size]
    return (total / total.std()).astype(task.get("dtype", "float32"))


def labels(task):
    """A class for each image of the batch."""
    return np.random.RandomState(1).randint(0, task["classes"], task["batch"])


def matrices(task):
    """Two large square matrices, for the peak of the machine."""
    random = np.random.RandomState(0)
    return [random.standard_normal((task["size"], task["size"])).astype(np.float32) for _ in range(2)]


def save_answers(task, arrays):
    """Write what a contender computes, a dict of arrays, where the task says; no file if it does not."""
    if task.get("answers"):
        np.savez(task["answers"], **arrays)
