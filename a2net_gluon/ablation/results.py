"""The results of an ablation: ``results.json``, and the same as a table for people."""

from __future__ import annotations

import dataclasses
import typing

from a2net_gluon.ablation.cost import Costs
from a2net_gluon.ablation.plan import PlannedRun
from a2net_gluon.ablation.statistics import Estimate, estimate, paired_difference
from a2net_gluon.settings import Ablation
from a2net_gluon.settings.ablation import METRICS

__all__ = ["as_markdown", "collect"]

Results = typing.Dict[str, typing.Any]


def collect(ablation: Ablation, runs: typing.Sequence[PlannedRun], costs: Costs) -> Results:
    """Make the content of ``results.json``.

    Returns
    -------
    dict
        The baseline, the metric and the axis; the hours of all runs on one processor; and under "cases", by case and
        variant: "values" by seed, "accuracy" and "difference" from the baseline as an `Estimate` and a `Difference`
        (see `a2net_gluon.ablation.statistics`), "params", "macs" and "milliseconds". Accuracies are from 0 to 1.
    """
    values: dict[str, dict[str, dict[int, float]]] = {}
    seconds = 0.0
    for run in runs:
        result = run.result()
        assert result is not None  # all are done
        values.setdefault(run.case, {}).setdefault(run.variant, {})[run.seed] = result["metrics"][ablation.metric]
        seconds += result["cpu_seconds"]
    return {
        "baseline": ablation.baseline,
        "metric": ablation.metric,
        "axis": ablation.axis,
        "cpu_hours": round(seconds / 3600, 3),
        "cases": {
            case: {
                variant: _row(one, variants[ablation.baseline], costs[case][variant])
                for variant, one in variants.items()
            }
            for case, variants in values.items()
        },
    }


def _row(values: dict[int, float], baseline: dict[int, float], costs: dict[str, float]) -> Results:
    own = [values[seed] for seed in sorted(values)]
    paired = [baseline[seed] for seed in sorted(values)]
    return {
        "values": {str(seed): value for seed, value in sorted(values.items())},
        "accuracy": _plain(estimate(own)),
        "difference": None if values is baseline else _plain(paired_difference(own, paired)),
        **costs,
    }


def _plain(found: Estimate) -> Results:
    return {**dataclasses.asdict(found), "interval": found.interval and [*found.interval]}


_COLUMNS = (
    ("variant", "---"),
    ("seeds", "---:"),
    ("{metric}, %", "---:"),
    ("95 % interval", "---"),
    ("difference", "---:"),
    ("95 % interval", "---"),
    ("p", "---:"),
    ("verdict", "---"),
    ("parameters", "---:"),
    ("multiply-adds, M", "---:"),
    ("ms", "---:"),
)


def as_markdown(results: Results) -> str:
    """Return a table for each case, with every figure from `results`; accuracies in percent."""
    return "\n".join(_table(case, variants, results) for case, variants in results["cases"].items())


def _table(case: str, variants: Results, results: Results) -> str:
    heading = f"{results['axis']}: {case}" if results["axis"] else case
    titles = [title.format(metric=METRICS[results["metric"]]) for title, _ in _COLUMNS]
    rows = [titles, [line for _, line in _COLUMNS]]
    for name, row in variants.items():
        rows.append([f"{name}, the baseline" if row["difference"] is None else name, *_cells(row)])
    lines = [f"| {' | '.join(cells)} |" for cells in rows]
    return f"**{heading}**\n\n" + "\n".join(lines) + "\n"


def _cells(row: Results) -> list[str]:
    accuracy, difference = row["accuracy"], row["difference"]
    compared = ["", "", "", ""]
    if difference is not None:
        p = "–" if difference["p"] is None else f"{difference['p']:.3f}" if difference["p"] >= 0.001 else "< 0.001"
        compared = [f"{100 * difference['mean']:+.2f}", _interval(difference, "+"), p, difference["verdict"]]
    return [
        str(accuracy["seeds"]),
        f"{100 * accuracy['mean']:.2f}",
        _interval(accuracy, ""),
        *compared,
        f"{row['params']:,}",
        f"{row['macs'] / 1e6:.2f}",
        f"{row['milliseconds']:.2f}",
    ]


def _interval(one: Results, sign: str) -> str:
    if one["interval"] is None:
        return "–"
    low, high = one["interval"]
    return f"{100 * low:{sign}.2f} to {100 * high:{sign}.2f}"
