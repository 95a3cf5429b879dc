"""Tables and picture of the benchmark of growing maps."""

import itertools
import math

import numpy as np

from a2net_gluon.files import write_text
from benchmarks.pictures import curves
from benchmarks.report import save_picture, table

__all__ = ["KINDS", "MODES", "label", "tables", "write"]


KINDS = {"left": "A², left", "right": "A², right", "nl": "NL"}
OTHERS = tuple(KINDS)[1:]
# Colours of Okabe and Ito's palette, which colour-blind readers can tell apart, and markers.
STYLES = {"left": ("#0072B2", "o"), "right": ("#D55E00", "s"), "nl": ("#009E73", "^")}
MODES = {"inference": "inference", "training": "forward and backward"}
FITTED_MAPS = 3  # the largest maps of images, and of clips, to which an exponent is fitted


def write(results, output):
    """Write the Markdown tables and the picture."""
    write_text(output.with_name(output.name + ".md"), tables(results))
    save_picture(_draw(results), output.with_name(output.name + ".png"))


def label(place):
    """Return ``8×28²`` for ``(8, 28, 28)``."""
    *time_steps, height, width = place
    return "×".join([*map(str, time_steps), f"{height}²" if height == width else f"{height}×{width}"])


def tables(results):
    """Return time, memory and the exponents of both as Markdown."""
    modes = {mode: {} for mode in MODES}  # mode → map → block → entry
    for one in results["entries"]:
        modes[one["mode"]].setdefault(tuple(one["map"]), {})[one["kind"]] = one
    parts = {
        "Time of the fastest step: the left association against its first map, the others against it:": _times,
        "Memory in MB: an array of m·n and of L² values, by the shapes, and the measured peaks:": _memory,
        "Exponents of L, fitted to the largest maps:": _exponents,
    }
    return "\n".join(f"{caption}\n\n{make(modes)}\n" for caption, make in parts.items())


def _times(modes):
    titles, rows = ["map", "L"], []
    for name in MODES.values():
        titles += [f"{name}: {KINDS['left']}", *(f"{KINDS[kind]}, × left" for kind in OTHERS)]
    for place in modes["inference"]:
        row = [label(place), f"{math.prod(place):,}"]
        for maps in modes.values():
            first, blocks = next(iter(maps.values())), maps[place]
            pairs = [(blocks["left"], first["left"]), *((blocks[kind], blocks["left"]) for kind in OTHERS)]
            fit = [one["minimum"] / other["minimum"] if one["fits"] and other["fits"] else None for one, other in pairs]
            row += map(_rounded, fit)
        rows.append(row)
    return table(titles, rows)


def _rounded(value, digits=3):
    """Return three digits, or all before the point."""
    if value is None:
        return "does not fit"
    return f"{value:,.0f}" if value >= 10 ** (digits - 1) else f"{value:.{digits}g}"


def _memory(modes):
    titles = ["map", "m·n", "L²", *(f"{name}: {title}" for name in MODES.values() for title in KINDS.values())]
    rows = []
    for place, blocks in modes["inference"].items():
        row = [label(place), *(_rounded(4e-6 * blocks[kind]["stored_values"]) for kind in ("left", "nl"))]
        peaks = [maps[place][kind]["peak_bytes"] for maps in modes.values() for kind in KINDS]
        rows.append(row + [_rounded(peak and peak / 1e6) for peak in peaks])
    return table(titles, rows)


def _exponents(modes):
    titles = ["of", "maps", *KINDS.values(), *(f"{KINDS[kind]} − left" for kind in OTHERS)]
    rows = []
    for mode, what, ndim in itertools.product(MODES, ("minimum", "peak_bytes"), (2, 3)):
        places = [place for place in modes[mode] if len(place) == ndim][-FITTED_MAPS:]
        if len(places) > 1:
            left, *others = ([modes[mode][place][kind][what] for place in places] for kind in KINDS)
            excess = [[one and base and one - base for one, base in zip(other, left)] for other in others]
            name = f"{'time' if what == 'minimum' else 'memory'}, {MODES[mode]}"
            exponents = [_exponent(places, values) for values in (left, *others, *excess)]
            rows.append([name, f"{label(places[0])} to {label(places[-1])}", *exponents])
    return table(titles, rows)


def _exponent(places, values):
    """Return the slope of log(value) over log(L)."""
    if None in values:
        return "does not fit"
    if min(values) <= 0:
        return "–"
    return f"{np.polyfit(np.log([math.prod(place) for place in places]), np.log(values), 1)[0]:.2f}"


def _draw(results):
    """Draw time and memory of a training step over L, both logarithmic, with slopes 1 and 2 to compare with."""
    entries = [one for one in results["entries"] if one["mode"] == "training"]
    first = next(one for one in entries if one["kind"] == "left")
    title = f"time, × that of {KINDS['left']} on {label(first['map'])}"
    panels = {}
    units = {(title, "minimum"): first["minimum"], ("peak of resident memory, MB", "peak_bytes"): 1e6}
    for (title, what), unit in units.items():
        panels[title, "map, at its number of locations L"] = [
            (
                title,
                [(math.prod(one["map"]), one[what] / unit) for one in entries if one["kind"] == kind and one["fits"]],
                {"color": STYLES[kind][0], "marker": STYLES[kind][1], "linewidth": 2},
            )
            for kind, title in KINDS.items()
        ]
    figure = curves(panels)
    figure.suptitle(f"One block, forward and backward, c = {results['channels']}, m = n = {results['width']}, batch 1")
    ticks = {math.prod(one["map"]): label(one["map"]) for one in entries}
    for axes, lines in zip(figure.axes, panels.values()):
        axes.set(xscale="log", yscale="log")
        axes.set_xticks(list(ticks), ticks.values())
        axes.minorticks_off()
        _draw_guides(axes, [points for _, points, _ in lines])
    return figure


def _draw_guides(axes, lines):
    """Draw slope 1 below the left association's end and slope 2 above the highest end, over a factor of four in L."""
    highest = max((points[-1] for points in lines if points), key=lambda point: point[1])
    locations, value = lines[0][-1]
    for text, slope, end in (("∝ L", 1, (locations, value / 4)), ("∝ L²", 2, (highest[0], 2.5 * highest[1]))):
        start = (end[0] / 4, end[1] / 4**slope)
        axes.plot(*zip(start, end), color="0.5", linestyle="--", linewidth=1)
        axes.annotate(text, start, (-5, -3), textcoords="offset points", ha="right", color="0.35")
