"""Time and memory of both associations of double attention, and of the non-local block, over growing maps.

    python benchmarks/maps.py --output runs/maps                    writes runs/maps.json, .md and .png
    python benchmarks/maps.py --maps 28x28 8x28x28 --rounds 1       some maps, once
    python benchmarks/maps.py --output runs/maps --redraw           table and picture again, from the JSON file

One block, hybridized, batch 1, with c = 256 and m = n = 64: the paper's ablations at conv3, where clips have 8×28².
Every measurement is a process of its own, so that none finds memory that another has left. It takes a few steps; its
memory is what they add, at their peak, to a process that holds input, parameters and gradients. The blocks take turns,
round by round; where other work goes on, OMP_NUM_THREADS=1 gives steadier times. A block that is estimated to need more
than two thirds of the free memory is not run: "does not fit". The files are written after each map.
"""

import argparse
import itertools
import json
import math
import pathlib
import re
import statistics
import sys
import time
import typing

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))

import a2net_gluon  # isort: skip  (has OpenMP take every core, before mxnet is loaded)
import mxnet as mx
from mxnet import autograd

from a2net_gluon import environment
from a2net_gluon.blocks import DoubleAttention, NonLocal
from a2net_gluon.errors import FailureError, UsageError
from a2net_gluon.files import output_folder, write_text
from a2net_gluon.insight.graph import Graph
from a2net_gluon.insight.memory import training_memory
from a2net_gluon.options.types import count
from benchmarks import maps_report, worker
from benchmarks.runner import Implementation, run_once
from benchmarks.settings import Settings, exit_code, parser

MAPS = ("14x14", "20x20", "28x28", "40x40", "56x56", "8x28x28", "32x28x28")
MARGIN = 1.5  # of free memory over the estimate


class Case(typing.NamedTuple):
    """One measurement: a block, "inference" or "training", the lengths of the map, c, and m = n."""

    kind: str
    mode: str
    map: typing.Tuple[int, ...]
    channels: int
    width: int

    @property
    def shape(self):
        """Shape of the input."""
        return (1, self.channels, *self.map)

    def block(self):
        """Return the block, not initialised."""
        options = {"ndim": len(self.map), "prefix": "block_"}
        if self.kind == "nl":
            return NonLocal(self.channels, self.width, self.width, **options)
        return DoubleAttention(self.channels, self.width, self.width, association=self.kind, **options)

    def stored_values(self):
        """Return how many values the block stores between gathering and distribution."""
        graph = Graph(self.block(), self.shape[1:])
        name = {"left": "descriptors", "right": "relation", "nl": "attention_maps"}[self.kind]
        return math.prod(graph.shape(graph.nodes_by_name[f"block_{name}"]))

    def estimated_bytes(self):
        """Estimate every operator's output, and in training its gradient, at once: too much, where L² counts."""
        return training_memory(self.block(), self.shape) * (2 if self.mode == "training" else 1)


def main():
    """Measure the maps that the command line names; returns the exit code."""
    options = parser(__doc__)
    options.add_argument("--output", type=pathlib.Path, default=pathlib.Path("runs/maps"), help="start of the files")
    default = [lengths(text) for text in MAPS]
    options.add_argument("--maps", nargs="+", type=lengths, default=default, metavar="TxHxW", help=" ".join(MAPS))
    options.add_argument("--channels", type=count, default=256, help="c (256)")
    options.add_argument("--width", type=count, default=64, help="m and n (64)")
    options.add_argument("--rounds", type=count, default=3, help="processes for each block, map and mode (3)")
    options.add_argument("--redraw", action="store_true", help="measure nothing, read the JSON file")
    return exit_code("maps.py", _run, options.parse_args())


def lengths(text):
    """Return ``(8, 28, 28)`` for ``8x28x28``."""
    if not re.fullmatch(r"[1-9]\d*(x[1-9]\d*){1,2}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a map such as 28x28 or 8x28x28")
    return tuple(int(length) for length in text.split("x"))


def _run(args):
    if not args.output.name:
        raise UsageError(f"--output is {args.output}, a folder; it is the start of file names, e.g. runs/maps")
    with output_folder(args.output.parent):
        source = args.output.with_name(args.output.name + ".json")
        if args.redraw and not source.is_file():
            raise UsageError(f"{source} is not there: --redraw reads the results of a run with this --output")
        if args.redraw:
            try:
                return maps_report.write(json.loads(source.read_text(encoding="utf-8")), args.output)
            except (ValueError, KeyError, TypeError):
                message = f"{source} is no result of this benchmark: measure again, without --redraw"
                raise FailureError(message) from None
        results = {
            "channels": args.channels,
            "width": args.width,
            "threads": str(environment.thread_count()),
            "versions": {"mxnet": mx.__version__, "a2net_gluon": a2net_gluon.__version__},
            "entries": [],
        }
        for place in sorted({*args.maps}, key=math.prod):
            results["entries"] += measure_map(place, args.channels, args.width, args.rounds)
            if not all(one["fits"] for one in results["entries"] if one["kind"] == "left"):
                raise FailureError(
                    f"{maps_report.label(place)}: not even the left association fits into the free memory"
                )
            write_text(source, json.dumps(results, indent=1) + "\n")
            maps_report.write(results, args.output)
        print(f"written: {args.output}.json, .md, .png")


def measure_map(place, channels, width, rounds):
    """Return all entries of one map; the blocks take turns, so that a disturbance affects all of them."""
    entries = []
    for mode, name in maps_report.MODES.items():
        found = {Case(kind, mode, place, channels, width): [] for kind in maps_report.KINDS}
        for turn, case in itertools.product(range(rounds), found):
            title = maps_report.KINDS[case.kind]
            print(
                f"{f'{maps_report.label(place):>8}, {name}, round {turn + 1} of {rounds}, {title}: ':54}",
                end="",
                flush=True,
            )
            if free_memory() < MARGIN * case.estimated_bytes():
                print("does not fit", flush=True)
                continue
            measured = measure_apart(case)
            found[case].append(measured)
            print(f"{1e3 * min(measured['seconds']):9.2f} ms {measured['peak_bytes'] / 1e6:9.2f} MB", flush=True)
        entries += [_entry(case, measured) for case, measured in found.items()]
    return entries


def _entry(case, measured):
    """Return the figures of a case after all rounds; without measurements it did not fit."""
    seconds = [one for each in measured for one in each["seconds"]]
    return {
        "kind": case.kind,
        "mode": case.mode,
        "map": case.map,
        "locations": math.prod(case.map),
        "stored_values": case.stored_values(),
        "estimated_bytes": case.estimated_bytes(),
        "fits": bool(measured),
        "seconds": [each["seconds"] for each in measured],
        "minimum": min(seconds, default=None),
        "median": statistics.median(seconds) if seconds else None,
        "peak_bytes": statistics.median(each["peak_bytes"] for each in measured) if measured else None,
    }


def free_memory():
    """Return the bytes that can be allocated before anything is swapped out or ended."""
    (available,) = re.findall(r"MemAvailable:\s*(\d+) kB", pathlib.Path("/proc/meminfo").read_text())
    free = [1024 * int(available)]
    groups = (("memory.max", "memory.current"), ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"))
    for limit, used in groups:
        limit, used = (pathlib.Path("/sys/fs/cgroup") / name for name in (limit, used))
        if limit.is_file() and limit.read_text().strip() != "max":
            free.append(int(limit.read_text()) - int(used.read_text()))
    return min(free)


def measure_apart(case):
    """Return the facts of `measure` from a process of its own."""
    implementation = Implementation(str(case), "mxnet", {"kind": "block", "case": case})
    return run_once(implementation, environment.thread_count(), Settings.timeout)


def measure(case):
    """Return the seconds of single steps, and the bytes by which they raise this process's resident memory at most."""
    environment.end_with_parent()
    # If the estimate is too low, the kernel ends this process and no other.
    pathlib.Path("/proc/self/oom_score_adj").write_text("1000")
    _step_of(case._replace(map=(2,) * len(case.map)))()  # threads, libraries and kernels are no memory of the block
    step = _step_of(case)
    worker.give_memory_back()
    worker.reset_peak()
    before = worker.peak_bytes()
    step()  # plans the graph
    seconds = []
    while sum(seconds) < 0.3 and len(seconds) < 100:  # a long step once: the rounds repeat it
        start = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - start)
    return {"seconds": seconds, "peak_bytes": worker.peak_bytes() - before}


def _step_of(case):
    """Return a function that runs the case's block once, on its input."""
    mx.random.seed(0)
    block = case.block()
    block.initialize(mx.init.MSRAPrelu())
    block.hybridize(static_alloc=True, static_shape=True)
    x = mx.nd.random.normal(shape=case.shape)
    head = mx.nd.ones(case.shape)
    if case.mode == "training":
        x.attach_grad()  # as inside a network: the block computes the gradient of its input

    def infer():
        block(x)
        mx.nd.waitall()

    def train():
        with autograd.record():
            output = block(x)
        output.backward(head)
        mx.nd.waitall()

    mx.nd.waitall()
    return train if case.mode == "training" else infer


if __name__ == "__main__":
    sys.exit(main())
