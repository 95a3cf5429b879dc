"""Tables 2 and 3 of the paper as time and memory: a training step and inference of every row, on the CPU.

    python -m benchmarks.tables --output runs/tables        about twenty minutes on 2 cores

Every row is a process of its own, which may take 20 GB, and takes turns with the first row. Its figures are kept in
OUTPUT/rows: a run that was interrupted resumes after the last row, and a row whose file is removed is measured again.
OUTPUT/table-costs.md and .png are the page and the picture. Leave the machine alone meanwhile.
"""

import argparse
import json
import pathlib
import re
import sys

from a2net_gluon import program
from a2net_gluon.environment import thread_count
from a2net_gluon.files import folder_for_output, replacing, write_text
from a2net_gluon.formats.bounded_json import read_json
from a2net_gluon.insight.paper_tables import TABLES
from a2net_gluon.options.types import Parser, count
from benchmarks.comparison import row
from benchmarks.report import table
from benchmarks.runner import Implementation, ending_on_signals, take_turns
from benchmarks.setup import Settings
from benchmarks.speed import describe_run

__all__ = ["draw", "main", "page"]

LIMIT_GB = 20
MODES = ("training", "inference")
COLORS = {"none": "tab:gray", "NL": "tab:blue", "A²": "tab:orange"}


def main(arguments=None):
    """Measure the rows that are missing, then write page and picture; returns the exit code."""
    return program.run(_tables, sys.argv[1:] if arguments is None else arguments, prog="python -m benchmarks.tables")


def _tables(arguments, prog):
    options = Parser(prog=prog, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--output", type=pathlib.Path, default=pathlib.Path("runs/tables"), help="(runs/tables)")
    options.add_argument("--rounds", type=count, default=3, help="turns of each row (3)")
    options.add_argument("--size", type=count, default=112, help="height and width of clips (112)")
    options.add_argument("--frames", type=count, default=16, help="of a clip (16)")
    options.add_argument("--batch", type=count, nargs="+", default=[1, 4], help="clips of a step (1 4)")
    args = options.parse_args(arguments)
    log = lambda line: print(line, flush=True)  # noqa: E731
    folder, measured = folder_for_output(args.output), {}
    with ending_on_signals():
        for batch in args.batch:
            sizes = {"frames": args.frames, "size": args.size, "batch": batch, "classes": 400}
            settings = Settings(**sizes, rounds=args.rounds, threads=thread_count(), log=log)
            measured[batch] = [_line(*each, settings, folder) for each in _rows()]
    write_text(folder / "table-costs.md", page(measured, settings))
    draw(measured[args.batch[0]], folder / "table-costs.png")
    log(f"{folder / 'table-costs.md'}, .png")


def _rows():
    """Yield table, name and network of each row, and each network once, in the first table that has it."""
    seen = set()
    for printed in TABLES:
        for each in printed.rows if printed.number in (2, 3) else ():
            if each.network not in seen:
                yield printed.number, " ".join(each.labels).replace(" none", ""), each.network
            seen.add(each.network)


def _line(number, name, network, settings, folder):
    """Return the figures of a row: those that are kept, or new ones, which are kept then."""
    sizes = [settings.batch, settings.frames, settings.size, number]
    path = folder / "rows" / f"{'-'.join(map(str, sizes))}-{re.sub('[^A-Za-z0-9]+', '-', name)}.json"
    if path.is_file():
        return read_json(path)
    settings.log(f"--- Table {number}, {name}, batch {settings.batch}")
    block = re.search("NL|A²", name)
    line = {"table": number, "name": name, "block": block.group() if block else "none", **describe_run(settings)}
    line["macs"] = network.cost.paper_macs
    for mode in MODES:
        line[mode] = _measure(name, network, mode, settings)
    path.parent.mkdir(exist_ok=True)
    write_text(path, json.dumps(line, indent=1, ensure_ascii=False) + "\n")
    return line


def _measure(name, network, mode, settings):
    """Return the figures of a row in a mode; "beside" are those of the first row in the same turns."""
    _, first_name, first = next(_rows())
    taking_part = {name: network, first_name: first}  # one, if it is the first itself
    implementations = [_implementation(*each, mode, settings) for each in taking_part.items()]
    found = take_turns(implementations, settings, settings.rounds)
    lines = [row(implementation, each) for implementation, each in zip(implementations, found)]
    return {**lines[0], "beside": lines[-1]}


def _implementation(name, network, mode, settings):
    built = {"network": network.name, "context": network.context, "placement": dict(network.placement)}
    sizes = {what: getattr(settings, what) for what in ("batch", "size", "frames", "classes")}
    task = {"kind": "row", "mode": mode, "limit_gb": LIMIT_GB, **built, **sizes}
    return Implementation(name, "mxnet", task, images=settings.batch)


def page(measured, settings):
    """Return the page with the tables: `measured` has the rows of each batch size."""
    every = [line for lines in measured.values() for line in lines]
    machines = sorted({f"{line['processor']}, {line['threads']} threads; commit {line['commit']}" for line in every})
    parts = [
        "# Tables 2 and 3 as time and memory",
        f"Written by `python -m benchmarks.tables`. {'; '.join(machines)}.",
        f"Clips of {settings.frames} frames of {settings.size}×{settings.size}. Milliseconds are those of one clip, in "
        f"{settings.rounds} turns of {settings.runs} runs: minimum and median. A row takes turns with the first; the "
        "ratios to it are those of minima and of medians in these turns. MB are the largest resident memory of the "
        f"process in its turns; a process may take {LIMIT_GB} GB. Training is a step: forward, backward and update. "
        'Multiply-adds are those of the paper\'s tables; networks run with `association="auto"`, as in all commands. A '
        "network that stands in both tables is listed in the first.",
        "![Multiply-adds, time and memory of each row](table-costs.png)",
    ]
    titles = ("table", "network", "multiply-adds", "added", "minimum", "median", "of the first", "MB")
    for batch, lines in measured.items():
        for mode in MODES:
            parts.append(f"## {mode.capitalize()}, batch {batch}")
            parts.append(table(titles, [_cells(line, lines[0], mode) for line in lines]))
            parts += [f"Failed: {line['name']}: {line[mode]['error']}" for line in lines if "error" in line[mode]]
    return "\n\n".join(parts) + "\n"


def _cells(line, first, mode):
    found, added = line[mode], line["macs"] - first["macs"]
    cells = [str(line["table"]), line["name"], f"{line['macs'] / 1e9:.2f} G", f"{added / 1e9:.2f} G" if added else ""]
    if "error" in found:
        return [*cells, "failed", "", "", ""]
    beside = found["beside"]
    times = ("min_ms", "median_ms")
    ratios = [f"{found[what] / beside[what]:.2f}" for what in times if what in beside]
    return [*cells, *(f"{found[what]:.0f}" for what in times), " / ".join(ratios), f"{found['peak_mb']:.0f}"]


def draw(lines, path):
    """Draw multiply-adds, and time and memory of a training step, of each row to PNG file `path`."""
    from matplotlib.figure import Figure

    names = [line["name"] for line in lines]
    colors = [COLORS[line["block"]] for line in lines]
    panels = {
        "multiply-adds of a clip, G": [line["macs"] / 1e9 for line in lines],
        "training, ms of a clip": [line["training"].get("min_ms", 0) for line in lines],
        "training, MB": [line["training"].get("peak_mb", 0) for line in lines],
    }
    figure = Figure(figsize=(11, 4), layout="constrained")
    for place, (label, values) in zip(figure.subplots(1, 3, sharey=True), panels.items()):
        bars = place.barh(names, values, color=colors)
        place.bar_label(bars, [f"{value:.1f}" if value < 100 else f"{value:.0f}" for value in values], padding=2)
        place.set(xlabel=label, xlim=(0, 1.2 * max(values)))
    place.invert_yaxis()  # of all panels
    with replacing(path) as new:
        figure.savefig(new, format="png", dpi=110)


if __name__ == "__main__":
    sys.exit(main())
