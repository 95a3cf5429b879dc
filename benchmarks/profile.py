"""Where the time goes: oneDNN's own times by kind of operation, of inference or of a training step.

    python -m benchmarks.profile                                 a training step of a2net_resnet50, batch 16
    python -m benchmarks.profile --kind inference --network resnet50

Prints a Markdown table. For every operation and shape the least of several runs counts, so that what else happens on
the machine does not; the sum is what the network would take if every operation went as well as it can.
"""

import argparse
import collections
import sys

from a2net_gluon.environment import thread_count
from benchmarks.contenders import ContenderError, Worker
from benchmarks.stage import Settings, open_stage

MARK = "onednn_verbose,exec", "dnnl_verbose,exec"  # newer and older versions
RUNS = 5


def main(arguments=None):
    """Profile what the command line names; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.profile", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kind", choices=("training", "inference"), default="training")
    parser.add_argument("--network", default=Settings.network, help=f"({Settings.network})")
    parser.add_argument("--batch-size", type=int, default=Settings.batch, help=f"({Settings.batch})")
    parser.add_argument("--size", type=int, default=Settings.size, help=f"of an image ({Settings.size})")
    args = parser.parse_args(arguments)
    if args.batch_size < 1 or args.size < 1:
        parser.error("--batch-size and --size must be at least 1")
    sizes = {"network": args.network, "size": args.size, "batch": args.batch_size}
    settings = Settings(**sizes, threads=thread_count(), tell=lambda line: print(line, file=sys.stderr))
    try:
        seconds, lines = measure(settings, args.kind)
    except ContenderError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print("\n".join(table(parse(lines), 1000 * min(seconds), args.batch_size)))
    return 0


def measure(settings, kind):
    """Seconds of each run of the hybridized network, and what oneDNN said meanwhile, in lines."""
    with open_stage(settings) as stage:
        stage.add(settings.network)
        contender = stage.contender("", "mxnet", kind, "hybrid", settings.network)
        worker = Worker(contender, settings.threads, settings.timeout, {"DNNL_VERBOSE": "1"})
        try:
            worker.start()
            before = len(worker.written())
            seconds = worker.ask({"runs": RUNS - 1})["seconds"]  # and one that is not timed
            return seconds, worker.written()[before:].splitlines()
        finally:
            worker.close()


def parse(lines):
    """``{kind of operation: (how many in a run, least milliseconds of a run)}`` from oneDNN's lines of `RUNS` runs."""
    times = collections.defaultdict(list)
    for line in lines:
        if line.startswith(MARK):
            *words, milliseconds = line.split(",")
            times[tuple(words)].append(float(milliseconds))
    found = collections.defaultdict(lambda: [0, 0.0])
    for words, each in times.items():
        kind = found[_kind(words)]
        kind[0] += len(each) / RUNS
        kind[1] += min(each) * len(each) / RUNS
    return dict(found)


def _kind(words):
    """The operation, and of convolutions and BN which pass."""
    operation, direction = words[3], words[5]
    return f"{operation}, {direction}" if operation in ("convolution", "batch_normalization") else operation


def table(found, whole, images):
    """Lines of a Markdown table; `whole` is how long a run took, in milliseconds."""
    yield "| operation | in a run | ms an image | share |"
    yield "| --- | --- | --- | --- |"
    accounted = sum(milliseconds for _, milliseconds in found.values())
    rows = [(name, f"{count:.0f}", milliseconds) for name, (count, milliseconds) in found.items()]
    rows.append(("not oneDNN's: matrix products, update, loss; waiting", "", max(0.0, whole - accounted)))
    for name, count, milliseconds in sorted(rows, key=lambda row: -row[2]):
        yield f"| {name} | {count} | {milliseconds / images:.2f} | {100 * milliseconds / whole:.1f} % |"
    yield f"| a run | | {whole / images:.2f} | |"


if __name__ == "__main__":
    sys.exit(main())
