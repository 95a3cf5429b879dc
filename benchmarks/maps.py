"""Time and memory of both associations of double attention, and of the non-local block, over growing maps.

    python benchmarks/maps.py --output runs/maps                    writes runs/maps.json, .md and .png
    python benchmarks/maps.py --maps 28x28 8x28x28 --rounds 1       some maps, once
    python benchmarks/maps.py --output runs/maps --redraw           table and picture again, from the JSON file

One block, hybridized, batch 1, with c = 256 and m = n = 64: the paper's ablations at conv3, where clips have 8×28².
Every measurement is a process of its own, so that none finds memory that another has left. It takes a few steps; its
memory is what they add, at their peak, to a process that holds input, parameters and gradients. The blocks take turns,
round by round; where other work goes on, OMP_NUM_THREADS=1 gives steadier times. What is estimated to need more than
two thirds of the free memory is not run: "does not fit".
"""

import argparse
import collections
import ctypes
import functools
import itertools
import json
import math
import os
import pathlib
import re
import statistics
import subprocess
import sys
import time
import typing

import numpy as np
from matplotlib.figure import Figure

import a2net_gluon  # has OpenMP take every core, before mxnet is loaded

# isort: split

import mxnet as mx
from mxnet import autograd

from a2net_gluon import environment
from a2net_gluon.blocks import DoubleAttention, NonLocal
from a2net_gluon.errors import FailureError, UsageError
from a2net_gluon.files import output_folder, replacing, write_text
from a2net_gluon.insight.memory import training_memory
from a2net_gluon.options.types import count


class Kind(typing.NamedTuple):
    """A block that is measured."""

    title: str
    make: typing.Callable
    stored: str  # the node that holds what is stored between gathering and distribution
    colour: str  # of Okabe and Ito's palette, which colour-blind readers can tell apart
    marker: str


KINDS = {
    "left": Kind("A², left", functools.partial(DoubleAttention, association="left"), "descriptors", "#0072B2", "o"),
    "right": Kind("A², right", functools.partial(DoubleAttention, association="right"), "relation", "#D55E00", "s"),
    "nl": Kind("NL", NonLocal, "attention_maps", "#009E73", "^"),
}
OTHERS = tuple(KINDS)[1:]
MODES = {"inference": "inference", "training": "forward and backward"}
MAPS = ("14x14", "20x20", "28x28", "40x40", "56x56", "8x28x28", "32x28x28")
SUFFIXES = (".json", ".md", ".png")
FITTED_MAPS = 3  # the largest maps of images, and of clips, to which an exponent is fitted
MARGIN = 1.5  # of free memory over the estimate


class Case(typing.NamedTuple):
    """One measurement."""

    kind: str
    mode: str
    map: typing.Tuple[int, ...]
    channels: int
    width: int

    @property
    def locations(self):
        """L."""
        return math.prod(self.map)

    @property
    def shape(self):
        """Of the input."""
        return (1, self.channels, *self.map)

    def block(self):
        """The block, not initialised."""
        make = KINDS[self.kind].make
        return make(self.channels, self.width, self.width, ndim=len(self.map), prefix="block_")


def main():
    """Measure what the command line names; returns the exit code."""
    args = parse()
    if args.measure:
        print(json.dumps(measure(Case(*args.measure))))
        return 0
    try:
        if not args.output.name:
            raise UsageError(f"--output is {args.output}, a folder; it is the start of file names, e.g. runs/maps")
        with output_folder(args.output.parent):
            run(args)
    except (UsageError, FailureError) as error:
        print(f"maps.py: error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("\nmaps.py: stopped; what is written holds the maps that were complete", file=sys.stderr)
        return 130
    return 0


def parse():
    """The options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("runs/maps"), help="start of the files")
    parser.add_argument(
        "--maps", nargs="+", type=lengths, default=[*map(lengths, MAPS)], metavar="TxHxW", help=" ".join(MAPS)
    )
    parser.add_argument("--channels", type=count, default=256, help="c (256)")
    parser.add_argument("--width", type=count, default=64, help="m and n (64)")
    parser.add_argument("--rounds", type=count, default=3, help="processes for each block, map and mode (3)")
    parser.add_argument("--redraw", action="store_true", help="measure nothing, read the JSON file")
    parser.add_argument("--measure", type=json.loads, help=argparse.SUPPRESS)  # in a process of its own
    return parser.parse_args()


def lengths(text):
    """``(8, 28, 28)`` of ``8x28x28``."""
    if not re.fullmatch(r"[1-9]\d*(x[1-9]\d*){1,2}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a map such as 28x28 or 8x28x28")
    return tuple(int(length) for length in text.split("x"))


def run(args):
    """Measure map after map and write the files after each, or write them again."""
    source = args.output.with_name(args.output.name + ".json")
    if args.redraw:
        if not source.is_file():
            raise UsageError(f"{source} is not there: --redraw reads what a run with this --output has measured")
        try:
            write_report(json.loads(source.read_text(encoding="utf-8")), args.output)
        except (ValueError, KeyError, TypeError):
            raise FailureError(f"{source} is no result of this benchmark: measure again, without --redraw") from None
        return
    results = {
        "channels": args.channels,
        "width": args.width,
        "threads": os.environ[environment.THREADS],
        "versions": {"mxnet": mx.__version__, "a2net_gluon": a2net_gluon.__version__},
        "entries": [],
    }
    for place in sorted({*args.maps}, key=math.prod):
        results["entries"] += measure_map(place, args.channels, args.width, args.rounds)
        if not all(one["fits"] for one in results["entries"] if one["kind"] == "left"):
            raise FailureError(f"{label(place)}: not even the left association fits into the free memory")
        write_text(source, json.dumps(results, indent=1) + "\n")
        write_report(results, args.output)
    print("written: " + ", ".join(f"{args.output}{suffix}" for suffix in SUFFIXES))


# Measuring


def measure_map(place, channels, width, rounds):
    """All entries of one map: the blocks take turns, so that what disturbs the machine disturbs all of them."""
    entries = []
    for mode in MODES:
        cases = [Case(kind, mode, place, channels, width) for kind in KINDS]
        found = collections.defaultdict(list)
        for turn, case in itertools.product(range(rounds), cases):
            text = f"{label(place):>8}, {MODES[mode]}, round {turn + 1} of {rounds}, {KINDS[case.kind].title}: "
            print(f"{text:54}", end="", flush=True)
            measured = measure_apart(case) if fits(case) else None
            found[case] += [measured] if measured else []
            print(progress(measured), flush=True)
        entries += [entry(case, found[case]) for case in cases]
    return entries


def progress(measured):
    """The end of a line of progress."""
    if not measured:
        return "does not fit"
    return f"{1e3 * min(measured['seconds']):9.2f} ms {measured['peak_bytes'] / 1e6:9.2f} MB"


def entry(case, measured):
    """What is known of a case after all rounds."""
    seconds = [one for each in measured for one in each["seconds"]]
    return {
        "kind": case.kind,
        "mode": case.mode,
        "map": case.map,
        "locations": case.locations,
        "stored_values": stored_values(case),
        "estimated_bytes": estimated_bytes(case),
        "fits": bool(measured),
        "seconds": [each["seconds"] for each in measured],
        "minimum": min(seconds, default=None),
        "median": statistics.median(seconds) if seconds else None,
        "peak_bytes": statistics.median(each["peak_bytes"] for each in measured) if measured else None,
    }


def stored_values(case):
    """Values of what the block stores between gathering and distribution, from the shapes in its graph."""
    node = case.block()(mx.sym.var("data")).get_internals()[f"block_{KINDS[case.kind].stored}_output"]
    return math.prod(node.infer_shape(data=case.shape)[1][0])


def estimated_bytes(case):
    """Every operator's output, and in training its gradient, at once: more than it takes, where L² counts."""
    return training_memory(case.block(), case.shape) * (2 if case.mode == "training" else 1)


def fits(case):
    """Whether the memory that is free now is enough for a case, with a margin for whoever else works here."""
    return free_memory() >= MARGIN * estimated_bytes(case)


def free_memory():
    """Bytes this process may still take without anything being swapped out or ended."""
    (available,) = re.findall(r"MemAvailable:\s*(\d+) kB", pathlib.Path("/proc/meminfo").read_text())
    free = [1024 * int(available)]
    cgroup = pathlib.Path("/sys/fs/cgroup")
    for limit, used in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        if (cgroup / limit).is_file() and (cgroup / limit).read_text().strip() != "max":
            free.append(int((cgroup / limit).read_text()) - int((cgroup / used).read_text()))
    return min(free)


def measure_apart(case):
    """What `measure` returns, from a new process."""
    command = [sys.executable, __file__, "--measure", json.dumps(case)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise FailureError(f"measuring {case} ended with code {done.returncode}: {reason}")
    return json.loads(done.stdout.splitlines()[-1])


def measure(case):
    """Seconds of single steps, and the bytes by which they raised this process's resident memory at most."""
    environment.end_with_parent()
    # Should the estimate be wrong, let the kernel end this process and nobody else's.
    pathlib.Path("/proc/self/oom_score_adj").write_text("1000")
    warm_up = step_of(case._replace(map=(2,) * len(case.map)))
    warm_up()  # threads, libraries and compiled kernels are no part of the block's memory
    step = step_of(case)
    ctypes.CDLL(None).malloc_trim(0)
    pathlib.Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from here
    before = resident_peak()
    step()  # plans the graph
    seconds = []
    while sum(seconds) < 0.3 and len(seconds) < 100:  # a long step once: the rounds repeat it
        start = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - start)
    return {"seconds": seconds, "peak_bytes": resident_peak() - before}


def step_of(case):
    """A function that runs the case's block once, on its input."""
    mx.random.seed(0)
    block = case.block()
    block.initialize(mx.init.MSRAPrelu())
    block.hybridize(static_alloc=True, static_shape=True)
    x = mx.nd.random.normal(shape=case.shape)
    head = mx.nd.ones(case.shape)
    if case.mode == "training":
        x.attach_grad()  # a block inside a network hands a gradient on

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


def resident_peak():
    """Bytes. Not ``getrusage``: what it counts, a process inherits from the one that started it."""
    (peak,) = re.findall(r"VmHWM:\s*(\d+) kB", pathlib.Path("/proc/self/status").read_text())
    return 1024 * int(peak)


# Reporting


def write_report(results, output):
    """Write the Markdown tables and the picture."""
    write_text(output.with_name(output.name + ".md"), tables(results))
    draw(results, output.with_name(output.name + ".png"))


def label(place):
    """``8×28²`` of ``(8, 28, 28)``."""
    *time_steps, height, width = place
    return "×".join([*map(str, time_steps), f"{height}²" if height == width else f"{height}×{width}"])


def by_map(results, mode):
    """For each map, in their order, its entries by kind."""
    rows = {}
    for one in results["entries"]:
        if one["mode"] == mode:
            rows.setdefault(tuple(one["map"]), {})[one["kind"]] = one
    return rows


def rounded(value, digits=3):
    """Three digits, or all before the point; what was not measured did not fit."""
    if value is None:
        return "does not fit"
    return f"{value:,.0f}" if value >= 10 ** (digits - 1) else f"{value:.{digits}g}"


def ratio(one, other):
    """Of the fastest steps."""
    return one["minimum"] / other["minimum"] if one["fits"] and other["fits"] else None


def markdown(titles, rows):
    """A Markdown table."""
    return "".join(f"| {' | '.join(row)} |\n" for row in (titles, ["---"] * len(titles), *rows))


def tables(results):
    """Time, memory and how fast both grow."""
    parts = {
        "Time of the fastest step: the left association against its first map, the others against it:": time_table,
        "Memory in MB: an array of m·n and of L² values, by the shapes, and the measured peaks:": memory_table,
        "Exponents of L, fitted to the largest maps:": growth_table,
    }
    return "\n".join(f"{caption}\n\n{table(results)}" for caption, table in parts.items())


def time_table(results):
    """The left association relative to its smallest map, the others relative to the left on the same map."""
    modes = {mode: by_map(results, mode) for mode in MODES}
    titles = ["map", "L"]
    for name in MODES.values():
        titles += [f"{name}: {KINDS['left'].title}", *(f"{KINDS[kind].title}, × left" for kind in OTHERS)]
    rows = []
    for place in modes["inference"]:
        row = [label(place), f"{math.prod(place):,}"]
        for maps in modes.values():
            first, blocks = next(iter(maps.values())), maps[place]
            row.append(rounded(ratio(blocks["left"], first["left"])))
            row += [rounded(ratio(blocks[kind], blocks["left"])) for kind in OTHERS]
        rows.append(row)
    return markdown(titles, rows)


def memory_table(results):
    """What the shapes say is stored between, and what was measured, in MB."""
    modes = {mode: by_map(results, mode) for mode in MODES}
    titles = ["map", "m·n", "L²", *(f"{name}: {kind.title}" for name in MODES.values() for kind in KINDS.values())]
    rows = []
    for place, blocks in modes["inference"].items():
        row = [label(place), *(rounded(4e-6 * blocks[kind]["stored_values"]) for kind in ("left", "nl"))]
        peaks = [maps[place][kind]["peak_bytes"] for maps in modes.values() for kind in KINDS]
        rows.append(row + [rounded(peak and peak / 1e6) for peak in peaks])
    return markdown(titles, rows)


def growth_table(results):
    """Exponents of L over the largest maps."""
    titles = ["of", "maps", *(kind.title for kind in KINDS.values())]
    titles += [f"{KINDS[kind].title} − left" for kind in OTHERS]
    rows = []
    for mode, what in itertools.product(MODES, ("minimum", "peak_bytes")):
        for maps in largest(by_map(results, mode)):
            values = [{place: blocks[kind][what] for place, blocks in maps.items()} for kind in KINDS]
            values += [excess(other, values[0]) for other in values[1:]]
            name = f"{'time' if what == 'minimum' else 'memory'}, {MODES[mode]}"
            ends = f"{label(min(maps, key=math.prod))} to {label(max(maps, key=math.prod))}"
            rows.append([name, ends, *(exponent(one) for one in values)])
    return markdown(titles, rows)


def largest(maps):
    """The largest maps of images, and those of clips, where there are two at least."""
    for ndim in (2, 3):
        places = [place for place in maps if len(place) == ndim][-FITTED_MAPS:]
        if len(places) > 1:
            yield {place: maps[place] for place in places}


def excess(values, base):
    """What values are above a base, map by map."""
    return {place: value and base[place] and value - base[place] for place, value in values.items()}


def exponent(values):
    """The slope of log(value) over log(L)."""
    if any(value is None for value in values.values()):
        return "does not fit"
    if min(values.values()) <= 0:
        return "–"
    places = [math.prod(place) for place in values]
    return f"{np.polyfit(np.log(places), np.log([*values.values()]), 1)[0]:.2f}"


def draw(results, path):
    """Time and memory of a training step over L, both logarithmic, with slopes 1 and 2 to compare with."""
    maps = by_map(results, "training")
    first = next(iter(maps.values()))["left"]
    figure = Figure(figsize=(12, 5), layout="constrained")
    figure.suptitle(f"One block, forward and backward, c = {results['channels']}, m = n = {results['width']}, batch 1")
    panels = (
        ("minimum", first["minimum"], f"time, × that of {KINDS['left'].title} on {label(first['map'])}"),
        ("peak_bytes", 1e6, "peak of resident memory, MB"),
    )
    for axes, (what, unit, title) in zip(figure.subplots(1, len(panels)), panels):
        curves = {
            kind: [(math.prod(place), row[kind][what] / unit) for place, row in maps.items() if row[kind]["fits"]]
            for kind in KINDS
        }
        draw_guides(axes, curves)
        for kind, points in curves.items():
            style = KINDS[kind]
            axes.plot(*zip(*points), color=style.colour, marker=style.marker, label=style.title, linewidth=2)
        axes.set(title=title, xlabel="map, at its number of locations L", xscale="log", yscale="log")
        axes.set_xticks([math.prod(place) for place in maps], [label(place) for place in maps])
        axes.minorticks_off()
        axes.grid(alpha=0.3)
        axes.legend(loc="upper left")
        axes.spines[["top", "right"]].set_visible(False)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=100)


def draw_guides(axes, curves):
    """Slope 1 below the left association's end, slope 2 above the highest end, over the last factor of four in L."""
    highest = max((points[-1] for points in curves.values() if points), key=lambda point: point[1])
    locations, value = curves["left"][-1]
    for text, slope, end in (("∝ L", 1, (locations, value / 4)), ("∝ L²", 2, (highest[0], 2.5 * highest[1]))):
        start = (end[0] / 4, end[1] / 4**slope)
        axes.plot(*zip(start, end), color="0.5", linestyle="--", linewidth=1)
        axes.annotate(text, start, (-5, -3), textcoords="offset points", ha="right", color="0.35")


if __name__ == "__main__":
    sys.exit(main())
