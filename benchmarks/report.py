"""The report of a scenario: JSON with everything, and Markdown."""

import json
import math
import statistics

from a2net_gluon.files import write_text

__all__ = ["markdown", "table", "write_report"]

TUNED = "*tuned*: glibc's malloc keeps large arrays, in huge pages."


def write_report(report, folder):
    """Write ``<scenario>.json`` and ``.md`` into `folder`."""
    stem = folder / report["scenario"]
    write_text(stem.with_suffix(".json"), json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    write_text(stem.with_suffix(".md"), markdown(report))


def table(titles, rows):
    """Return a Markdown table."""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (titles, ["---"] * len(titles), *rows))


def markdown(report):
    """Return the whole report as text."""
    machine = report["machine"]
    versions = ", ".join(sorted({line["version"] for line in report["rows"] if "version" in line}))
    parts = [
        f"# {report['scenario'].capitalize()}",
        f"{machine['processor']}, {machine['threads']} threads; {report['started']}; commit {report['commit']}; "
        f"{versions}.",
        *_SECTIONS[report["scenario"]](report),
        *_ratios(report["ratios"]),
        *_excluded(report["rows"]),
    ]
    return "\n\n".join(parts) + "\n"


def _lines(rows, columns):
    """Return a table of rows; `columns` are functions of a row, whose cell is empty where it has no figure."""
    cells = []
    for line in rows:
        sound = {**line, "tuned": "yes" if line.get("tuned") else ""}
        if "error" in line:
            sound = {"tuned": sound["tuned"]}
        cells.append([line["name"], *(_cell(sound, column) for column in columns.values())])
    return table(["", *columns], cells)


def _cell(line, column):
    try:
        return column(line)
    except (KeyError, TypeError):  # no such figure
        return ""


_TUNED = {"tuned": lambda line: line["tuned"]}
_TIMES = {"minimum": lambda line: f"{line['min_ms']:.2f}", "median": lambda line: f"{line['median_ms']:.2f}"}
_SPEED = {**_TIMES, "images/s": lambda line: f"{1000 / line['min_ms']:.1f}"}


def _turns(settings, what="an image"):
    return f"{settings['rounds']} turns of {settings['runs']} runs for each implementation. Milliseconds {what}"


_OF_PEAK = (
    "*of peak*: the time of the same multiply-adds in the fastest product of matrices below, relative to the minimum. "
    "*memory*: largest resident memory of the process in its turns, MB."
)


def _side_by_side(report):
    settings = report["settings"]
    of = {"inference": "the logits", "training": "loss and gradients, computed in double precision,"}[
        report["scenario"]
    ]
    yield (
        f"{_turns(settings)}, batch {settings['batch']}, {settings['size']}×{settings['size']}. {TUNED} {_OF_PEAK} "
        f"*difference* of {of} from the first line, relative to the largest value."
    )
    lines = [line for line in report["rows"] if "network" in line]
    for network in dict.fromkeys(line["network"] for line in lines):
        yield f"## {network}"
        yield _network([line for line in lines if line["network"] == network])
    yield from _peak(report)


def _clips(report):
    yield (
        f"{_turns(report['settings'], 'a clip')}. {TUNED} {_OF_PEAK} *difference* from the first line, relative to the "
        "largest value: of the logits, or of loss and gradients, computed in double precision."
    )
    lines = [line for line in report["rows"] if "network" in line]
    for network, mode in dict.fromkeys((line["network"], line["mode"]) for line in lines):
        own = [line for line in lines if (line["network"], line["mode"]) == (network, mode)]
        yield f"## {network}, {mode}"
        yield "Batch {batch}, {frames} frames of {size}×{size}.".format(**own[0])
        yield _network(own)
    yield from _peak(report)


def _network(lines):
    """Return the table of a network's implementations."""
    floor = next((line["min_ms"] for line in lines if line["family"] == "floor"), None)
    columns = {
        **_TUNED,
        **_TIMES,
        "of peak": lambda line: f"{100 * floor / line['min_ms']:.0f} %",
        "memory": lambda line: f"{line['peak_mb']:.0f}",
        "difference": lambda line: f"{line['difference']:.1e}",
    }
    return _lines(lines, columns)


def _peak(report):
    yield "## The machine's peak"
    peaks = [line for line in report["rows"] if line["family"] == "sgemm"]
    peaks = {line["name"]: line for line in sorted(peaks, key=lambda line: line.get("gflops", 0))}.values()  # the best
    yield f"Product of two matrices of {report['settings']['square']}×{report['settings']['square']}."
    yield _lines(peaks, {"GFLOP/s": lambda line: f"{line['gflops']:.0f}"})


def _input(report):
    settings, images = report["settings"], report["images"]
    yield (
        f"{images['different']} {images['of']}, {images['width']:.0f}×{images['height']:.0f} and "
        f"{images['kilobytes']:.0f} kB on average, read over and over: the files are in memory. Each is decoded in "
        "full, and makes a crop for training with the augmentation dpn. The smaller records hold "
        f"{images['smaller_kilobytes']:.0f} kB an image, with a shorter edge of {images['resize']} pixels."
    )
    yield f"## Batches of {settings['batch']} crops, {settings['size']}×{settings['size']}"
    yield (
        f"{_turns(settings)}, and images a second at the minimum; behind the names the number of workers: processes, "
        "with the native reader threads. All hand over uint8 in channels first and labels. "
        "*difference*: grey levels, on average, between crops with the same random numbers and those of our records."
    )
    readers = [line for line in report["rows"] if line["family"] != "epochs"]
    yield _lines(readers, {**_SPEED, "difference": lambda line: f"{line['levels']:.2f}"})
    yield f"## Training steps of {settings['network']}"
    yield (
        "Of `a2net_gluon.train`, whole epochs without the first; runs take turns. *waiting for data*: share of the "
        "time in which a batch was not there yet."
    )
    epochs = [line for line in report["rows"] if line["family"] == "epochs"]
    waiting = lambda line: f"{100 * statistics.mean(line['data_wait']):.1f} %"  # noqa: E731
    yield _lines(epochs, {**_SPEED, "waiting for data": waiting})


def _video_readers(report):
    settings = report["settings"]
    (length, stride), (count, height, width) = settings["clip"], settings["video"]
    yield (
        f"{settings['rounds']} turns of {settings['runs']} runs for each reader. Milliseconds a clip of {length} "
        f"frames, {stride} apart, from a random frame on, as RGB: {settings['clips']} clips in a run, each of which "
        f"opens the file. {count} frames of {width}×{height}; every reader decodes with one thread. A reader takes "
        "part only if it gives the same pixels. Our index is made before, once for each file. torchvision's way: its "
        "releases for this PyTorch have no reader of videos; measured is what its read_video did."
    )
    for video, kilobytes in report["videos"].items():
        yield f"## {video}, {kilobytes:.0f} kB"
        yield _lines([line for line in report["rows"] if line["video"] == video], _TIMES)


def _maps(report):
    settings = report["settings"]
    yield (
        f"A step of one block, batch 1, c = {settings['channels']}, m = n = {settings['width']}: milliseconds, least "
        f"of {settings['turns']} processes, and the memory in MB that steps add, at their peak, to a process that has "
        "input, parameters and gradients. Training is forward and backward. L is the number of locations."
    )
    names = {line["form"]: line["name"] for line in report["rows"]}
    columns = {"L": lambda line: f"{line['L']:,}"}
    for unit, what in (("ms", "min_ms"), ("MB", "memory_mb")):
        for form, name in names.items():
            columns[f"{name}, {unit}"] = lambda line, form=form, what=what: f"{line[form][what]:,.2f}"
    for mode in dict.fromkeys(line["mode"] for line in report["rows"]):
        maps = {}
        for line in report["rows"]:
            if line["mode"] == mode and "error" not in line:
                own = {"name": "×".join(map(str, line["map"])), "L": math.prod(line["map"])}
                maps.setdefault(own["name"], own)[line["form"]] = line
        yield f"## {mode.capitalize()}"
        yield _lines(maps.values(), columns)


def _profile(report):
    settings = report["settings"]
    yield (
        f"{settings['network']} hybridized, batch {settings['batch']}, {settings['size']}×{settings['size']}: times by "
        "oneDNN itself, for every operation and shape the least of several runs."
    )
    columns = {
        "in a run": lambda line: f"{line['number']:.0f}",
        "ms an image": lambda line: f"{line['image_ms']:.2f}",
        "share": lambda line: f"{100 * line['share']:.1f} %",
    }
    for mode in dict.fromkeys(line["mode"] for line in report["rows"]):
        yield f"## {mode.capitalize()}"
        yield _lines([line for line in report["rows"] if line["mode"] == mode], columns)


def _ratios(ratios):
    if ratios:
        titles = {"min_ms": "of minima", "median_ms": "of medians", "peak_mb": "of memory"}
        figures = dict.fromkeys(what for line in ratios for what in line["values"])
        rows = []
        for line in ratios:
            values = [f"{line['values'][what]:.3f}" if what in line["values"] else "" for what in figures]
            limit = "" if line["target"] is None else f"{'≥' if line['at_least'] else '≤'} {line['target']:.2f}"
            verdict = {True: "met", False: "**missed**"}.get(line.get("met"), "")
            rows.append([line["text"], *values, limit, verdict])
        yield "## Ratios"
        yield table(["", *(titles[what] for what in figures), "target", ""], rows)


def _excluded(rows):
    """Yield the implementations that could not run or compute something else, with the reason."""
    for line in rows:
        if "error" in line:
            of = [f"{key} {line[key]}" for key in ("network", "batch", "mode", "map", "video") if key in line]
            yield f"Excluded: {', '.join([line['name'], *of])}: {line['error']}"


_SECTIONS = {
    "inference": _side_by_side,
    "training": _side_by_side,
    "clips": _clips,
    "input": _input,
    "video-readers": _video_readers,
    "maps": _maps,
    "profile": _profile,
}
