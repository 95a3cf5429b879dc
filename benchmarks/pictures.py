"""Pictures of reports: bars for implementations side by side, curves over sizes."""

from matplotlib.figure import Figure  # without pyplot: no global state, no display

__all__ = ["curves", "draw"]

_COLOURS = {"mxnet": "tab:blue", "onnxruntime": "tab:cyan", "torch": "tab:orange", "command": "tab:green"}


def draw(report):
    """Return the picture of a scenario's report, a matplotlib Figure."""
    return {"memory": _memory, "growth": _growth}.get(report["scenario"], _bars)(report)


def _bars(report):
    """Draw a bar for each implementation, a panel for each network or kind, and the sgemm floor as a line."""
    reading = report["scenario"] == "input"
    groups = {}
    for line in report["rows"]:
        if "min_ms" in line and "error" not in line and "network" in line:
            training = f"training steps of {line['network']}" if line["family"] == "command" else "crops for training"
            groups.setdefault(training if reading else line["network"], []).append(line)
    if not groups:  # every implementation is excluded
        return Figure()
    heights = [len(group) for group in groups.values()]
    figure = Figure(figsize=(10, 1.5 + 0.32 * sum(heights)), layout="constrained")
    shape = {"squeeze": False, "sharex": not reading, "gridspec_kw": {"height_ratios": heights}}
    for axes, (title, group) in zip(figure.subplots(len(groups), 1, **shape)[:, 0], groups.items()):
        _bars_of(axes, group)
        axes.set_title(title)
    axes.set_xlabel(f"{report['scenario']}: ms an image, minimum / median")
    return figure


def _bars_of(axes, group):
    lines = sorted((line for line in group if line["family"] != "floor"), key=lambda line: -line["min_ms"])
    heights, colours = range(len(lines)), [_COLOURS[line["family"]] for line in lines]
    medians = axes.barh(heights, [line["median_ms"] for line in lines], color=colours, alpha=0.3)
    axes.barh(heights, [line["min_ms"] for line in lines], color=colours)
    axes.bar_label(medians, [f"{line['min_ms']:.1f} / {line['median_ms']:.1f}" for line in lines], padding=4)
    for line in group:
        if line["family"] == "floor":
            axes.axvline(line["min_ms"], color="k", linestyle=":", label="the same in sgemm")
            axes.legend(loc="lower right")
    axes.set_yticks(heights, [_name(line) for line in lines])
    axes.margins(x=0.2)


def _name(line):
    return line["name"] + (", tuned" if line["tuned"] else "")


def _memory(report):
    panels = {}
    for line in report["slopes"]:
        style = {
            "color": _COLOURS[line["family"]],
            "linestyle": "--" if line["tuned"] else "-",
            "marker": "s" if line["form"] == "compiled" else "o",
        }
        curve = (_name(line), list(line["peak_mb"].items()), style)
        panels.setdefault((line["network"], "batch size"), []).append(curve)
    return curves(panels, "resident memory of a training step, MB", sharey=True)


def _growth(report):
    panels = {}
    for line in report["rows"]:
        if "min_ms" in line and "error" not in line:
            own = panels.setdefault(("", line["axis"]), {})
            own.setdefault(line["name"], []).append((line["value"], line["min_ms"]))
    panels = {panel: [(name, points, {"marker": "o"}) for name, points in own.items()] for panel, own in panels.items()}
    figure = curves(panels, "ms an image, minimum")
    for axes in figure.axes:
        axes.set_ylim(0)
    return figure


def curves(panels, ylabel="", **options):
    """Draw panels side by side; ``{(title, xlabel): [(name, points, style), …]}``, further options of subplots."""
    figure = Figure(figsize=(6 * max(1, len(panels)), 5), layout="constrained")
    if panels:
        for axes, ((title, xlabel), own) in zip(
            figure.subplots(1, len(panels), squeeze=False, **options)[0], panels.items()
        ):
            for name, points, style in own:
                axes.plot(*zip(*points), label=name, **style)
            axes.set(title=title, xlabel=xlabel)
            axes.set_xticks(sorted({x for _, points, _ in own for x, _ in points}))
            axes.grid(alpha=0.3)
            axes.legend(loc="upper left", fontsize="small")
        figure.axes[0].set_ylabel(ylabel)
    return figure
