"""A scenario's report as Markdown."""

__all__ = ["markdown"]

_TUNED = "*tuned*: glibc's malloc keeps large arrays, in huge pages."


def markdown(report):
    """The whole report as text."""
    machine, settings = report["machine"], report["settings"]
    versions = ", ".join(sorted({line["version"] for line in report["rows"] if "version" in line}))
    parts = [
        f"# {report['scenario'].capitalize()}",
        f"{machine['processor']}, {machine['threads']} threads; {report['started']}; commit {report['commit']}; "
        f"{versions}. {settings['rounds']} turns of {settings['runs']} runs for each contender.",
        *_TABLES[report["scenario"]](report),
    ]
    return "\n\n".join(parts) + "\n"


def _table(titles, rows):
    return "\n".join(f"| {' | '.join(row)} |" for row in (titles, ["---"] * len(titles), *rows))


def _times(report):
    """Scenarios in which contenders do the same."""
    settings = report["settings"]
    what = {"inference": "of the logits", "training": "of loss and gradients, computed in double precision,"}
    yield (
        f"Milliseconds an image, batch {settings['batch']}, {settings['size']}×{settings['size']}. {_TUNED} *of peak*: "
        "the time of the same multiply-adds in the fastest product of matrices below, relative to the minimum. "
        f"*difference* {what[report['scenario']]} from the first line, relative to the largest value."
    )
    lines = [line for line in report["rows"] if "network" in line]
    for network in dict.fromkeys(line["network"] for line in lines):
        own = [line for line in lines if line["network"] == network]
        floor = next((line["min_ms"] for line in own if line["family"] == "floor"), None)
        yield f"## {network}"
        titles = ["", "tuned", "minimum", "median", "of peak", "difference"]
        yield _table(titles, [_time_cells(line, floor) for line in own])
    yield from _ratios(report, ["of minima", "of medians"])
    yield "## The machine's peak"
    peaks = [line for line in report["rows"] if line["family"] == "sgemm"]
    cells = [[line["name"], line.get("error") or f"{line['gflops']:.0f}"] for line in peaks]
    yield _table([f"{settings['square']}×{settings['square']}", "GFLOP/s"], cells)


def _time_cells(line, floor):
    name = [line["name"], _tuned(line)]
    if "error" in line:
        return [*name, f"out: {_plain(line['error'])}", "", "", ""]
    share = "" if floor is None else f"{100 * floor / line['min_ms']:.0f} %"
    difference = f"{line['difference']:.1e}" if "difference" in line else ""
    return [*name, f"{line['min_ms']:.2f}", f"{line['median_ms']:.2f}", share, difference]


def _tuned(line):
    return "yes" if line.get("tuned") else ""


def _plain(text):
    return text.replace("|", "/")


def _ratios(report, titles):
    yield "## Ratios"
    yield _table(["", *titles, "target", ""], [_ratio_cells(line) for line in report["ratios"]])


def _ratio_cells(line):
    target = line["target"]
    limit = "" if target is None else f"{'≥' if line['at_least'] else '≤'} {target:.2f}"
    verdict = {True: "met", False: "**missed**"}.get(line.get("met"), "")
    return [line["text"], *(f"{value:.3f}" for value in line["values"].values()), limit, verdict]


def _memory(report):
    """Peaks over batch sizes, and what an image adds."""
    settings = report["settings"]
    yield (
        f"Largest resident memory of a training step, MB, {settings['size']}×{settings['size']}, each of a process of "
        f"its own, over batch sizes; *an image*: the slope of a line through them. {_TUNED}"
    )
    batches = sorted({line["batch"] for line in report["rows"]})
    for network in dict.fromkeys(line["network"] for line in report["rows"]):
        yield f"## {network}"
        own = [line for line in report["slopes"] if line["network"] == network]
        titles = ["", "tuned", *map(str, batches), "an image", "of it blocks"]
        yield _table(titles, [_memory_cells(line, batches) for line in own])
    problems = [line for line in report["rows"] if "error" in line]
    for line in problems:
        yield f"{line['name']}, {line['network']}, batch {line['batch']}: {line['error']}"
    yield from _ratios(report, ["of peaks"])


def _memory_cells(line, batches):
    peaks = [f"{line['peak_mb'][batch]:.0f}" if batch in line["peak_mb"] else "" for batch in batches]
    share = f"{100 * line['blocks']:.0f} %" if "blocks" in line else ""
    return [line["name"], _tuned(line), *peaks, f"{line['slope_mb']:.1f}", share]


def _growth(report):
    """One table for each thing that grows."""
    yield f"Milliseconds an image, minima; *growth*: the last relative to the first. PyTorch is tuned: {_TUNED[9:]}"
    for axis in dict.fromkeys(line["axis"] for line in report["rows"]):
        own = [line for line in report["rows"] if line["axis"] == axis]
        values = list(dict.fromkeys(line["value"] for line in own))
        names = dict.fromkeys(line["name"] for line in own)
        yield f"## {axis.capitalize()}"
        yield _table(["", *map(str, values), "growth"], [_growth_cells(name, own, values) for name in names])
        yield from (f"{line['name']}, {line['value']}: {line['error']}" for line in own if "error" in line)


def _growth_cells(name, own, values):
    times = {line["value"]: line["min_ms"] for line in own if line["name"] == name and "min_ms" in line}
    ends = [times.get(values[0]), times.get(values[-1])]
    growth = f"{ends[1] / ends[0]:.2f}" if all(ends) else ""
    return [name, *(f"{times[value]:.2f}" if value in times else "" for value in values), growth]


def _input(report):
    """Readers; training with what they read and without."""
    settings, images = report["settings"], report["images"]
    yield (
        f"{images['different']} {images['of']}, {images['width']:.0f}×{images['height']:.0f} and "
        f"{images['kilobytes']:.0f} kB on average, read over and over: the files are in memory. Each is decoded in "
        "full, and makes a crop for training with the augmentation dpn."
    )
    yield f"## Batches of {settings['batch']} crops, {settings['size']}×{settings['size']}"
    yield (
        "Milliseconds an image, and images a second at the minimum; behind the names the number of workers: processes, "
        "with the native reader threads, of which MXNet takes at most one less than half of the processors, and at "
        "least one. All hand over uint8 in channels first and labels; our Python readers and the DataLoader draw for "
        "every image, the native reader once an epoch for each place in the batch. *difference*: grey levels, on "
        "average, between crops with the same random numbers and those of our records."
    )
    readers = [line for line in report["rows"] if line["family"] != "command"]
    titles = ["", "minimum", "median", "images/s"]
    yield _table([*titles, "difference"], [_input_cells(line, _levels(line)) for line in readers])
    yield f"## Training steps of {settings['network']}"
    yield (
        "Of train_imagenet.py, whole epochs without the first; runs take turns. *waiting for data*: share of the time "
        "in which a batch was not there yet."
    )
    commands = [line for line in report["rows"] if line["family"] == "command"]
    yield _table([*titles, "waiting for data"], [_input_cells(line, _waiting(line)) for line in commands])
    yield from _ratios(report, ["of minima", "of medians"])


def _input_cells(line, last):
    if "error" in line:
        return [line["name"], f"out: {_plain(line['error'])}", "", "", ""]
    times = [f"{line['min_ms']:.2f}", f"{line['median_ms']:.2f}"]
    return [line["name"], *times, f"{1000 / line['min_ms']:.1f}", last]


def _levels(line):
    return f"{line['levels']:.2f}" if line.get("levels") is not None else ""


def _waiting(line):
    return f"{100 * line['data_wait']:.1f} %" if "data_wait" in line else ""


_TABLES = {"inference": _times, "training": _times, "memory": _memory, "growth": _growth, "input": _input}
