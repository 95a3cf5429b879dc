"""A scenario's report as a picture."""

from matplotlib.figure import Figure  # without pyplot: no global state, no display

__all__ = ["draw"]

_COLOURS = {"mxnet": "tab:blue", "onnxruntime": "tab:cyan", "torch": "tab:orange", "command": "tab:green"}


def draw(report):
    """The report as a matplotlib Figure."""
    return _PICTURES[report["scenario"]](report)


def _sound(rows, value):
    return [line for line in rows if value in line and "error" not in line]


def _bars(report):
    """A bar for each contender, a panel for each network, and the time of the same sgemm as a line."""
    rows = [line for line in _sound(report["rows"], "min_ms") if "network" in line]
    networks = dict.fromkeys(line["network"] for line in rows)
    groups = {network: [line for line in rows if line["network"] == network] for network in networks}
    figure = _panels_of_bars(groups, report["scenario"], sharex=True)
    figure.axes[-1].legend(loc="lower right")
    return figure


def _input(report):
    """A bar for each contender, a panel for readers and one for training."""
    rows = _sound(report["rows"], "min_ms")
    groups = {
        "crops for training": [line for line in rows if line["family"] != "command"],
        f"training steps of {report['settings']['network']}": [line for line in rows if line["family"] == "command"],
    }
    groups = {title: group for title, group in groups.items() if group}
    return _panels_of_bars(groups, "input", sharex=False)


def _panels_of_bars(groups, what, sharex):
    if not groups:  # all contenders are out
        return Figure()
    heights = [len(group) for group in groups.values()]
    figure = Figure(figsize=(10, 1.5 + 0.32 * sum(heights)), layout="constrained")
    shape = {"squeeze": False, "sharex": sharex, "gridspec_kw": {"height_ratios": heights}}
    panels = figure.subplots(len(groups), 1, **shape)[:, 0]
    for axes, (title, group) in zip(panels, groups.items()):
        _bars_of(axes, group)
        axes.set_title(title)
    panels[-1].set_xlabel(f"{what}: ms an image, minimum / median")
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
    axes.set_yticks(heights)
    axes.set_yticklabels([_name(line) for line in lines])
    axes.margins(x=0.2)


def _name(line):
    return line["name"] + (", tuned" if line["tuned"] else "")


def _memory(report):
    """Peaks over batch sizes: a panel for each network."""
    networks = list(dict.fromkeys(line["network"] for line in report["slopes"]))
    figure = Figure(figsize=(6 * len(networks), 4.2), layout="constrained")
    for axes, network in zip(figure.subplots(1, len(networks), squeeze=False, sharey=True)[0], networks):
        for line in report["slopes"]:
            if line["network"] == network:
                style = {"color": _COLOURS[line["family"]], "linestyle": "--" if line["tuned"] else "-"}
                marker = "s" if line["form"] == "compiled" else "o"
                axes.plot(*zip(*line["peak_mb"].items()), label=_name(line), marker=marker, **style)
        axes.set(title=network, xlabel="batch size")
        axes.set_xticks(sorted({line["batch"] for line in report["rows"]}))
        axes.grid(alpha=0.3)
    figure.axes[0].set_ylabel("resident memory of a training step, MB")
    figure.axes[0].legend()
    return figure


def _growth(report):
    """A panel for each thing that grows."""
    rows = _sound(report["rows"], "min_ms")
    kinds = list(dict.fromkeys(line["axis"] for line in rows))
    figure = Figure(figsize=(4.2 * len(kinds), 4.2), layout="constrained")
    for axes, kind in zip(figure.subplots(1, len(kinds), squeeze=False)[0], kinds):
        own = [line for line in rows if line["axis"] == kind]
        for name in dict.fromkeys(line["name"] for line in own):
            points = [(line["value"], line["min_ms"]) for line in own if line["name"] == name]
            axes.plot(*zip(*points), label=name, marker="o")
        axes.set(xlabel=kind, ylim=(0, None))
        axes.set_xticks(sorted({line["value"] for line in own}))
        axes.grid(alpha=0.3)
        axes.legend(fontsize="small")
    figure.axes[0].set_ylabel("ms an image, minimum")
    return figure


_PICTURES = {"inference": _bars, "training": _bars, "memory": _memory, "growth": _growth, "input": _input}
