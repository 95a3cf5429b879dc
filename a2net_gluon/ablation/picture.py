"""The picture of an ablation: accuracy against cost, or over the axis of the cases, with intervals."""

from __future__ import annotations

import typing

from a2net_gluon.files import AnyPath, replacing
from a2net_gluon.settings.ablation import METRICS

__all__ = ["draw"]


def draw(results: typing.Mapping[str, typing.Any], path: AnyPath) -> None:
    """Draw `results`, the content of ``results.json``, to PNG file `path`."""
    from matplotlib.figure import Figure  # without pyplot: no global state, no display

    cases = results["cases"]
    panels = 1 if results["axis"] else len(cases)
    figure = Figure(figsize=(5.5 * panels, 4), layout="constrained")
    for axes, case in zip(figure.subplots(1, panels, squeeze=False)[0], cases):
        if results["axis"]:
            _draw_over_axis(axes, cases)
            axes.set(xlabel=results["axis"])
        else:
            _draw_against_cost(axes, cases[case])
            axes.set(xlabel="multiply-adds, M", title=case)
        axes.set(ylabel=f"{METRICS[results['metric']]}, %")
        axes.set_ylim(top=min(axes.get_ylim()[1], 102))  # intervals may go beyond 100 %
        axes.grid(alpha=0.3)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=100)


def _draw_over_axis(axes: typing.Any, cases: typing.Mapping[str, typing.Any]) -> None:
    """A line for each variant, over all cases."""
    for variant in next(iter(cases.values())):
        rows = [variants[variant] for variants in cases.values()]
        means, errors = zip(*map(_mean_and_error, rows))
        axes.errorbar([float(case) for case in cases], means, errors, label=variant, marker=".", capsize=3)
    axes.legend()


def _draw_against_cost(axes: typing.Any, variants: typing.Mapping[str, typing.Any]) -> None:
    """A point for each variant."""
    for variant, row in variants.items():
        mean, error = _mean_and_error(row)
        axes.errorbar([row["macs"] / 1e6], [mean], [error], marker="o", capsize=3, linestyle="")
        axes.annotate(variant, (row["macs"] / 1e6, mean), xytext=(5, 4), textcoords="offset points", fontsize="small")
    axes.margins(x=0.2)


def _mean_and_error(row: typing.Mapping[str, typing.Any]) -> tuple[float, float]:
    """Mean and half of the interval, in percent."""
    mean, interval = row["accuracy"]["mean"], row["accuracy"]["interval"]
    return 100 * mean, 100 * (interval[1] - mean) if interval else 0.0
