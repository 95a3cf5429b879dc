"""Times by kind of operation, measured by oneDNN itself.

For every operation and shape the least of several runs counts, so that other work on the machine does not; the sum is
the network's time if every operation is as fast as it can be.
"""

import collections
import contextlib

from benchmarks.runner import Worker

__all__ = ["RUNS", "measure", "parse", "shares"]

MARKS = "onednn_verbose,exec", "dnnl_verbose,exec"  # newer and older versions
RUNS = 5
REST = "not oneDNN's: matrix products, update, loss; waiting"


def measure(implementation, settings):
    """Return rows as from `shares` of an implementation's run."""
    with contextlib.closing(Worker(implementation, settings, {"DNNL_VERBOSE": "1"})) as worker:
        version = worker.start()["version"]
        before = len(worker.written())
        seconds = worker.ask({"runs": RUNS - 1})["seconds"]  # and one that is not timed
        lines = worker.written()[before:].splitlines()
    found = shares(parse(lines), 1000 * min(seconds), implementation.images)
    return [{"version": version, **line} for line in found]


def parse(lines):
    """Return ``{operation: (number in a run, least milliseconds of a run)}`` of oneDNN's lines of `RUNS` runs."""
    times = collections.defaultdict(list)
    for line in lines:
        if line.startswith(MARKS):
            *words, milliseconds = line.split(",")
            times[tuple(words)].append(float(milliseconds))
    found = collections.defaultdict(lambda: (0, 0.0))
    for words, each in times.items():
        operation, direction = words[3], words[5]
        kind = f"{operation}, {direction}" if operation in ("convolution", "batch_normalization") else operation
        found[kind] = (found[kind][0] + len(each) / RUNS, found[kind][1] + min(each) * len(each) / RUNS)
    return dict(found)


def shares(found, whole, images):
    """Return rows of the operations, the longest first, and of the whole run of some images, in milliseconds."""
    rest = max(0.0, whole - sum(milliseconds for _, milliseconds in found.values()))
    every = sorted({**found, REST: (None, rest)}.items(), key=lambda pair: -pair[1][1])
    rows = [
        {"name": name, "number": number, "image_ms": milliseconds / images, "share": milliseconds / whole}
        for name, (number, milliseconds) in every
    ]
    return [*rows, {"name": "a run", "image_ms": whole / images}]
