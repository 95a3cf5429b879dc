"""Tables 2 and 3 of the paper as time and memory: a training step and inference of every row, on the CPU.

    python -m benchmarks.tables --output runs/tables        about ten minutes on 2 cores

Every row is a process of its own, which may take 20 GB. Its figures are kept in OUTPUT/rows: a run that was interrupted
goes on behind the last row, and a row whose file is removed is measured again. OUTPUT/table-costs.md and .png are the
page and the picture. Leave the machine alone meanwhile.
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
MARKS = {"NL": "s", "A²": "o", "none": "x"}


def main(arguments=None):
    """Measure the rows that are missing, then write page and picture; returns the exit code."""
    return program.run(_tables, sys.argv[1:] if arguments is None else arguments, prog="python -m benchmarks.tables")


def _tables(arguments, prog):
    options = Parser(prog=prog, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--output", type=pathlib.Path, default=pathlib.Path("runs/tables"), help="(runs/tables)")
    options.add_argument("--rounds", type=count, default=3, help="turns of each row (3)")
    options.add_argument("--size", type=count, default=112, help="height and width of clips (112)")
    options.add_argument("--frames", type=count, default=16, help="of a clip (16)")
    args = options.parse_args(arguments)
    log = lambda line: print(line, flush=True)  # noqa: E731
    sizes = {"frames": args.frames, "size": args.size, "batch": 1, "classes": 400}
    settings = Settings(**sizes, rounds=args.rounds, threads=thread_count(), log=log)
    folder = folder_for_output(args.output)
    with ending_on_signals():
        lines = [_line(number, labels, network, settings, folder) for number, labels, network in _rows()]
    write_text(folder / "table-costs.md", page(lines, settings))
    draw(lines, folder / "table-costs.png")
    log(f"{folder / 'table-costs.md'}, .png")


def _rows():
    """Yield table, labels and network of each row, and each network once, in the first table that has it."""
    seen = set()
    for printed in TABLES:
        for each in printed.rows if printed.number in (2, 3) else ():
            if each.network not in seen:
                yield printed.number, each.labels, each.network
            seen.add(each.network)


def _line(number, labels, network, settings, folder):
    """Return the figures of a row: those that are kept, or new ones, which are kept then."""
    name = " ".join(labels)
    sizes = {what: getattr(settings, what) for what in ("batch", "size", "frames", "classes")}
    words = [settings.frames, settings.size, number, re.sub("[^A-Za-z0-9]+", "-", name)]
    path = folder / "rows" / f"{'-'.join(map(str, words))}.json"
    if path.is_file():
        return read_json(path)
    settings.log(f"--- Table {number}, {name}")
    block = re.search("NL|A²", name)
    line = {"table": number, "name": name, "block": block.group() if block else "none", **describe_run(settings)}
    line["macs"] = network.cost.paper_macs
    built = {"network": network.name, "context": network.context, "placement": dict(network.placement)}
    for mode in MODES:
        task = {"kind": "row", "mode": mode, "limit_gb": LIMIT_GB, **built, **sizes}
        (found,) = take_turns([Implementation(name, "mxnet", task)], settings, settings.rounds)
        line[mode] = row(Implementation(name, "mxnet", task), found)
    path.parent.mkdir(exist_ok=True)
    write_text(path, json.dumps(line, indent=1, ensure_ascii=False) + "\n")
    return line


def page(lines, settings):
    """Return the page with the table."""
    base = lines[0]
    machines = sorted({f"{line['processor']}, {line['threads']} threads; commit {line['commit']}" for line in lines})
    titles = ["table", "network", "multiply-adds", "added"]
    titles += [f"{mode}, {unit}" for mode in MODES for unit in ("ms", "of the first", "MB")]
    cells = []
    for line in lines:
        added = line["macs"] - base["macs"]
        figures = [f"{line['macs'] / 1e9:.2f} G", f"{added / 1e9:.2f} G" if added else ""]
        figures += [text for mode in MODES for text in _figures(line[mode], base[mode])]
        cells.append([str(line["table"]), line["name"], *figures])
    parts = [
        "# Tables 2 and 3 as time and memory",
        f"Written by `python -m benchmarks.tables`. {'; '.join(machines)}.",
        f"One clip of {settings.frames} frames of {settings.size}×{settings.size}: the least milliseconds of "
        f"{settings.rounds} turns of {settings.runs} runs, and the largest resident memory of the process in its "
        f"turns, MB; a process may take {LIMIT_GB} GB. Training is a step: forward, backward and update. Multiply-adds "
        'are those of the paper\'s tables; networks run with `association="auto"`, as in all commands. A network that '
        "stands in both tables is listed in the first.",
        "![Time and memory over multiply-adds](table-costs.png)",
        table(titles, cells),
    ]
    for line in lines:
        parts += [f"Failed: {line['name']}, {mode}: {line[mode]['error']}" for mode in MODES if "error" in line[mode]]
    return "\n\n".join(parts) + "\n"


def _figures(line, base):
    if "error" in line:
        return ["failed", "", ""]
    ratio = f"{line['min_ms'] / base['min_ms']:.2f}" if "min_ms" in base else ""
    return [f"{line['min_ms']:.0f}", ratio, f"{line['peak_mb']:.0f}"]


def draw(lines, path):
    """Draw time and memory of a training step over multiply-adds to PNG file `path`."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    panels = {"min_ms": "ms of a training step", "peak_mb": "MB in a training step"}
    for place, (what, label) in zip(figure.subplots(1, 2), panels.items()):
        for block, mark in MARKS.items():
            sound = [line for line in lines if line["block"] == block and what in line["training"]]
            places = [line["macs"] / 1e9 for line in sound], [line["training"][what] for line in sound]
            place.loglog(*places, mark, label={"none": "without blocks"}.get(block, f"with {block} blocks"))
            for line, x, y in zip(sound, *places):
                place.annotate(line["name"].partition(" + ")[2], (x, y), fontsize=6, rotation=30)
        place.set(xlabel="multiply-adds of a clip, G", ylabel=label)
    place.legend()
    with replacing(path) as new:
        figure.savefig(new, format="png", dpi=110)


if __name__ == "__main__":
    sys.exit(main())
