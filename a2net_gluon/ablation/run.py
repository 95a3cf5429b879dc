"""An ablation from its settings to its results."""

from __future__ import annotations

import json
import pathlib
import typing

from a2net_gluon import environment
from a2net_gluon.ablation.cost import measure_costs
from a2net_gluon.ablation.execution import execute
from a2net_gluon.ablation.picture import draw
from a2net_gluon.ablation.plan import check, plan, record
from a2net_gluon.ablation.results import Results, as_markdown, collect
from a2net_gluon.files import output_folder, write_text
from a2net_gluon.settings import Ablation
from a2net_gluon.training.run_lock import RunLock

__all__ = ["FILES", "ablate"]

FILES = ("results.json", "results.md", "results.png")


def ablate(ablation: Ablation, *, tell: typing.Callable[[str], object] = lambda line: None) -> Results:
    """Train all variants with all seeds, and compare them.

    Runs that are done are not repeated, and one that was stopped goes on where it was: the same call continues an
    ablation, also with more seeds or variants.

    Parameters
    ----------
    ablation : settings.Ablation
    tell : callable, optional
        Called with a line of text when a run is done.

    Returns
    -------
    dict
        What ``results.json`` holds, see `a2net_gluon.ablation.results.collect`. ``results.md`` and ``results.png``
        beside it show the same.

    Raises
    ------
    UsageError
        If a variant does not fit together, or the folder holds another ablation.
    FailureError
        If a run fails, or a file cannot be written.
    InterruptedRunError
        On SIGTERM or SIGINT, after the state of all runs is saved.
    """
    check(ablation)
    runs = plan(ablation)
    with output_folder(ablation.save_dir) as folder, RunLock(folder):
        record(ablation)
        execute(runs, ablation.jobs or environment.physical_cores(), ablation.metric, tell)
        costs = measure_costs(runs, folder)
        results = collect(ablation, runs, costs)
        _write(folder, results)
    return results


def _write(folder: pathlib.Path, results: Results) -> None:
    data, table, picture = (folder / name for name in FILES)
    write_text(data, json.dumps(results, indent=1) + "\n")
    write_text(table, as_markdown(results))
    draw(results, picture)
