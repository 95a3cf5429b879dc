"""Times by kind of operation, measured by oneDNN itself, of inference or of a training step.

    python -m benchmarks.profile                                 a training step of a2net_resnet50, batch 16
    python -m benchmarks.profile --kind inference --network resnet50

Prints a Markdown table. For every operation and shape the least of several runs counts, so that other work on the
machine does not; the sum is the network's time if every operation is as fast as it can be.
"""

import collections
import contextlib
import sys

from a2net_gluon.environment import thread_count
from a2net_gluon.options.types import count
from benchmarks.report import table
from benchmarks.runner import Worker
from benchmarks.settings import Settings, exit_code, parser
from benchmarks.setup import Form, open_setup

MARKS = "onednn_verbose,exec", "dnnl_verbose,exec"  # newer and older versions
RUNS = 5


def main(arguments=None):
    """Profile the network that the command line names; returns the exit code."""
    options = parser(__doc__, "python -m benchmarks.profile")
    options.add_argument("--kind", choices=("training", "inference"), default="training")
    options.add_argument("--network", default=Settings.network, help=f"({Settings.network})")
    options.add_argument("--batch-size", type=count, default=Settings.batch, help=f"({Settings.batch})")
    options.add_argument("--size", type=count, default=Settings.size, help=f"of an image ({Settings.size})")
    return exit_code("profile", _run, options.parse_args(arguments))


def _run(args):
    sizes = {"network": args.network, "size": args.size, "batch": args.batch_size}
    settings = Settings(**sizes, threads=thread_count(), log=lambda line: print(line, file=sys.stderr))
    seconds, lines = measure(settings, args.kind)
    print(profile_table(parse(lines), 1000 * min(seconds), args.batch_size))


def measure(settings, kind):
    """Return the seconds of each run of the hybridized network, and the lines that oneDNN writes meanwhile."""
    with open_setup(settings) as setup:
        setup.add_network(settings.network)
        implementation = setup.network(Form("", "mxnet", "hybrid"), kind, settings.network)
        worker = Worker(implementation, settings.threads, settings.timeout, {"DNNL_VERBOSE": "1"})
        with contextlib.closing(worker):
            worker.start()
            before = len(worker.written())
            seconds = worker.ask({"runs": RUNS - 1})["seconds"]  # and one that is not timed
            return seconds, worker.written()[before:].splitlines()


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


def profile_table(found, whole, images):
    """Return a Markdown table; `whole` is the time of a run of some images, in milliseconds."""
    rows = [(name, f"{number:.0f}", milliseconds) for name, (number, milliseconds) in found.items()]
    rest = max(0.0, whole - sum(milliseconds for _, _, milliseconds in rows))
    rows.append(("not oneDNN's: matrix products, update, loss; waiting", "", rest))
    cells = [
        [name, number, f"{milliseconds / images:.2f}", f"{100 * milliseconds / whole:.1f} %"]
        for name, number, milliseconds in sorted(rows, key=lambda row: -row[2])
    ]
    return table(
        ["operation", "in a run", "ms an image", "share"], [*cells, ["a run", "", f"{whole / images:.2f}", ""]]
    )


if __name__ == "__main__":
    sys.exit(main())
