"""The process of an implementation: it is given a task and then runs it on demand.

One JSON object a line. First comes the task, answered when the implementation is ready; then ``{"runs": 2}`` for every
turn, answered with the seconds of each run. Only the standard library and NumPy, since it serves both environments.
"""

import ctypes
import itertools
import json
import os
import pathlib
import resource
import sys
import time

import numpy as np

# Of SGD with Nesterov momentum. The rate is low: labels are random, and steps must stay finite.
LEARNING_RATE, MOMENTUM, WEIGHT_DECAY = 1e-3, 0.9, 1e-4


def serve(make):
    """Answer the messages on standard input.

    Parameters
    ----------
    make : callable
        ``make(task)`` returns a function without arguments that runs the task once and waits until it is done, and a
        dict of facts. It has run the task before it returns.
    """
    answer = _own_standard_output()
    # Where memory is short, the kernel ends this process and no other; the implementation is then excluded.
    pathlib.Path("/proc/self/oom_score_adj").write_text("1000")
    try:
        run, facts = make(json.loads(sys.stdin.readline()))
        facts["peak_mb"] = peak_bytes() / 1e6
        give_memory_back()
        answer(facts)
        for line in sys.stdin:
            times = _turn(run, json.loads(line)["runs"])
            give_memory_back()
            answer(times)
    except Exception as error:  # every error is reported in the table
        lines = str(error).strip().splitlines() or [""]
        line = lines[-1] if lines[0].startswith("Traceback") else lines[0]  # MXNet begins with its own frames
        answer({"error": f"{type(error).__name__}: {line[:300]}"})
        raise


def _own_standard_output():
    """Return a function that writes answers to standard output; the output of libraries goes to standard error."""
    pipe = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return lambda message: print(json.dumps(message), file=pipe, flush=True)


def _turn(run, runs):
    reset_peak()
    run()  # untimed: after the others' turns nothing of it is in the caches
    seconds = []
    for _ in range(runs):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return {"seconds": seconds, "peak_mb": peak_bytes() / 1e6}


def peak_bytes():
    """Return the largest resident memory of this process so far, or since `reset_peak`."""
    # Not getrusage: its maximum survives exec, and then is that of the process that started this one.
    status = pathlib.Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))


def reset_peak():
    """Start `peak_bytes` again from the memory that is resident now."""
    pathlib.Path("/proc/self/clear_refs").write_text("5")


def limit_memory(gigabytes):
    """Make larger requests for memory fail; the error that this causes is the answer of the process."""
    resource.setrlimit(resource.RLIMIT_DATA, (int(gigabytes * 1e9),) * 2)


def give_memory_back():
    """Return the memory that malloc keeps to the system; the next turn's untimed run gets it again."""
    ctypes.CDLL(None).malloc_trim(0)


def batch_taker(stream, count):
    """Return a run that takes `count` batches from an endless stream."""
    return lambda: [None for _ in itertools.islice(stream, count)]


def clip_reader(task, read):
    """Return a run that reads all clips of a task, after it has saved their frames as answers.

    Parameters
    ----------
    task : dict
        With the first frames of the clips, their length and stride.
    read : callable
        ``read(numbers)`` returns the frames with these numbers, (t, h, w, 3) of uint8, RGB.
    """
    length, stride = task["clip"]
    clips = [list(range(start, start + stride * length, stride)) for start in task["starts"]]
    save_answers(task, {"frames": np.stack([read(numbers) for numbers in clips])})
    return lambda: [None for numbers in clips if read(numbers) is None]


def find_jpegs(folder):
    """Return all JPEGs below a folder, sorted."""
    paths = sorted(pathlib.Path(folder).resolve().rglob("*"))
    return [path for path in paths if path.suffix.lower() in (".jpg", ".jpeg") and path.is_file()]


def crops_to_compare(task, make_crop):
    """Return ``make_crop(path, size, rng)`` of the first training images, each with random numbers of its own."""
    paths = find_jpegs(pathlib.Path(task["folder"]) / "train")[:8]
    crops = [make_crop(path, task["size"], np.random.default_rng(number)) for number, path in enumerate(paths)]
    return np.stack(crops)


def images(task):
    """Return the batch of a task, (N, 3, h, w) or of clips (N, 3, t, h, w), with the mean and spread of pixels.

    Noise in octaves, as in photographs: the parts of every size are equally strong. Frames differ as images do.
    """
    if task.get("frames"):
        frames = images({**task, "batch": task["batch"] * task["frames"], "frames": None})
        clips = frames.reshape(task["batch"], task["frames"], *frames.shape[1:])
        return np.ascontiguousarray(clips.transpose(0, 2, 1, 3, 4))
    random = np.random.RandomState(task.get("seed", 0))  # the same numbers in every version of NumPy
    size = task["size"]
    total = np.zeros((task["batch"], 3, size, size))
    for width in (32, 16, 8, 4, 2, 1):
        patches = -(-size // width)
        noise = random.standard_normal((task["batch"], 3, patches, patches))
        total += noise.repeat(width, axis=2).repeat(width, axis=3)[:, :, :size, :size]
    return (total / total.std()).astype(task.get("dtype", "float32"))


def labels(task):
    """Return a class for each image of the batch."""
    return np.random.RandomState(1).randint(0, task["classes"], task["batch"])


def matrices(task):
    """Return two large square matrices, for the machine's peak."""
    random = np.random.RandomState(0)
    return [random.standard_normal((task["size"], task["size"])).astype(np.float32) for _ in range(2)]


def save_answers(task, arrays):
    """Write the arrays that an implementation computes, a dict, to the file that the task names, if any."""
    if task.get("answers"):
        np.savez(task["answers"], **arrays)
