"""A scenario's report as JSON, as Markdown and as a picture."""

import json

from a2net_gluon.files import replacing, write_text

__all__ = ["write_report"]


def write_report(report, folder):
    """Write ``<scenario>.json``, ``.md`` and ``.png`` into `folder`."""
    stem = folder / report["scenario"]
    write_text(f"{stem}.json", json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    write_text(f"{stem}.md", _markdown(report))
    with replacing(stem.with_suffix(".png")) as temporary:
        _draw(report).savefig(temporary, format="png", dpi=100)


def _markdown(report):
    settings, machine = report["settings"], report["machine"]
    sizes = f"batch {settings['batch']}, {settings['size']}×{settings['size']}, {machine['threads']} threads"
    parts = [
        f"# {report['scenario'].capitalize()}: {sizes}",
        f"{machine['processor']}; {report['started']}; commit {report['commit']}; {_versions(report['rows'])}.",
        *_TABLES[report["scenario"]](report),
    ]
    return "\n\n".join(parts) + "\n"


def _versions(rows):
    return ", ".join(sorted({line["version"] for line in rows if "version" in line}))


def _table(titles, rows):
    return "\n".join(f"| {' | '.join(row)} |" for row in (titles, ["---"] * len(titles), *rows))


def _times(report):
    """Tables of a scenario in which contenders take turns."""
    settings = report["settings"]
    yield (
        f"Milliseconds an image, of {settings['rounds']} turns with {settings['runs']} runs each. *tuned*: glibc's "
        "malloc keeps large arrays, and in huge pages. *difference*: from the first line, relative to the largest value"
        + (", of loss and gradients, computed in double precision." if report["scenario"] == "training" else ".")
    )
    timed = [line for line in report["rows"] if "network" in line]
    for network in dict.fromkeys(line["network"] for line in timed):
        yield f"## {network}"
        yield _table(
            ["", "tuned", "minimum", "median", "of peak", "difference"],
            [_time_cells(line, timed) for line in timed if line["network"] == network],
        )
    yield "## Ratios"
    yield _table(["", "of minima", "of medians", "target", ""], [_ratio_cells(line) for line in report["ratios"]])
    yield "## The machine's peak"
    peaks = [line for line in report["rows"] if line["family"] == "sgemm"]
    yield _table([f"{settings['square']}×{settings['square']}", "GFLOP/s"], [_peak_cells(line) for line in peaks])


def _time_cells(line, timed):
    if "error" in line:
        return [line["name"], _yes(line["tuned"]), line["error"].replace("|", "/"), "", "", ""]
    floor = next(each for each in timed if each["family"] == "floor" and each["network"] == line["network"])
    difference = line.get("difference")
    return [
        line["name"],
        _yes(line.get("tuned")),
        f"{line['min_ms']:.2f}",
        f"{line['median_ms']:.2f}",
        f"{100 * floor['min_ms'] / line['min_ms']:.0f} %",
        "" if difference is None else f"{difference:.1e}",
    ]


def _yes(value):
    return "yes" if value else ""


def _ratio_cells(line):
    target = line["target"]
    limit = "" if target is None else f"{'≥' if line['at_least'] else '≤'} {target:.2f}"
    verdict = {True: "met", False: "**missed**"}.get(line.get("met"), "")
    return [line["text"], f"{line['min']:.3f}", f"{line['median']:.3f}", limit, verdict]


def _peak_cells(line):
    return [line["name"], line["error"] if "error" in line else f"{line['gflops']:.0f}"]


def _draw(report):
    from matplotlib.figure import Figure  # without pyplot: no global state, no display

    return _PICTURES[report["scenario"]](report, Figure)


def _bars(report, figure_of):
    """A bar for each contender, a panel for each network, and the floor as a line."""
    timed = [line for line in report["rows"] if "network" in line and "min_ms" in line and "error" not in line]
    networks = list(dict.fromkeys(line["network"] for line in timed))
    figure = figure_of(figsize=(10, 1.5 + 0.32 * len(timed)), layout="constrained")
    counts = [sum(line["network"] == network for line in timed) for network in networks]
    panels = figure.subplots(len(networks), 1, squeeze=False, sharex=True, height_ratios=counts)[:, 0]
    for axes, network in zip(panels, networks):
        own = [line for line in timed if line["network"] == network]
        bars = sorted((line for line in own if line["family"] != "floor"), key=lambda line: -line["min_ms"])
        names = [line["name"] + (", tuned" if line["tuned"] else "") for line in bars]
        colours = [_COLOURS[line["family"]] for line in bars]
        drawn = axes.barh(range(len(bars)), [line["min_ms"] for line in bars], color=colours)
        axes.bar_label(drawn, fmt="%.1f", padding=3)
        axes.plot([line["median_ms"] for line in bars], range(len(bars)), "k|", label="median")
        axes.axvline(
            next(line["min_ms"] for line in own if line["family"] == "floor"), color="k", ls=":", label="sgemm"
        )
        axes.set_yticks(range(len(bars)), names)
        axes.set_title(network)
        axes.margins(x=0.1)
    panels[0].legend(loc="lower right")
    panels[-1].set_xlabel(f"{report['scenario']}: ms an image, minimum")
    return figure


_COLOURS = {"mxnet": "tab:blue", "onnxruntime": "tab:cyan", "torch": "tab:orange"}
_TABLES = {"inference": _times, "training": _times}
_PICTURES = {"inference": _bars, "training": _bars}
