"""A page about a training run, or a comparison of several: curves, results, settings, speed, skipped samples."""

from __future__ import annotations

import dataclasses
import glob
import html
import pathlib
import re
import statistics
import typing

from a2net_gluon.errors import FailureError, UsageError
from a2net_gluon.files import write_text
from a2net_gluon.insight.curves import Panel, curves_figure
from a2net_gluon.insight.pages import render, svg, table
from a2net_gluon.networks.description import FILE_NAME, Description
from a2net_gluon.settings import Report
from a2net_gluon.settings.training import changed_options
from a2net_gluon.terminal import printable
from a2net_gluon.training.metrics import ClassificationMeter, best_epoch, percent
from a2net_gluon.training.results import panels_of, read_results
from a2net_gluon.training.run_record import RUN, read_starts

__all__ = ["report"]

_METER = ClassificationMeter  # that of all runs
_SKIPPED = re.compile(r"\S+ \S+ skipped (.+: .+)\n?")  # a line of the log, after date and time
_SHOWN = 50  # skipped samples of a run
_PREFIXES = {
    "val": "validation {}, best epoch",
    "val_ema": "validation {}, best epoch, averaged weights",
    "train": "training {}, best epoch",
}
_SPEED = (
    Panel("samples a second", {"images_per_second": "training"}),
    Panel("waiting for data, % of the time", {"data_wait": "training"}, 100),
)


@dataclasses.dataclass(frozen=True)
class _Run:
    """The content of a run folder.

    Attributes
    ----------
    name : str
    starts : list of dict
        The entries of ``run.json``.
    history : list of dict
        A row for each epoch.
    description : Description or None
        None if the run ended before it was written.
    skipped : list of str
        Samples that could not be read, each with the reason.
    """

    name: str
    starts: list[dict[str, typing.Any]]
    history: list[dict[str, float]]
    description: Description | None
    skipped: list[str]

    @property
    def arguments(self) -> dict[str, typing.Any]:
        """The settings of the last start, by the options' names."""
        return self.starts[-1]["arguments"]


def report(options: Report) -> pathlib.Path:
    """Write a page about the runs in some folders, which may still be going on; returns its path.

    Parameters
    ----------
    options : settings.Report

    Raises
    ------
    UsageError
        If a folder holds no run.
    FailureError
        If a file of a run is damaged, or the page cannot be written.
    """
    folders = [pathlib.Path(folder) for folder in options.runs]
    twice = next((folder for number, folder in enumerate(folders) if _is_one_of(folder, folders[:number])), None)
    if twice:
        raise UsageError(f"{twice} is named twice: name each run once")
    names = [folder.resolve().name for folder in folders]
    if len({*names}) < len(names):
        names = [str(folder) for folder in folders]
    runs = [_read(folder, printable(name)) for folder, name in zip(folders, names)]
    title = f"{'Training run' if len(runs) == 1 else 'Training runs'} {', '.join(run.name for run in runs)}"
    path = pathlib.Path(options.output)
    write_text(path, render("report.html", title, content="\n".join(_content(runs))))
    return path


def _is_one_of(folder: pathlib.Path, others: typing.Iterable[pathlib.Path]) -> bool:
    return folder.resolve() in {other.resolve() for other in others}


def _read(folder: pathlib.Path, name: str) -> _Run:
    if not (folder / RUN).is_file():
        raise UsageError(f"{folder} holds no run: name the --save-dir of a training, which has {RUN}")
    starts, description = read_starts(folder / RUN), folder / FILE_NAME
    return _Run(
        name,
        starts,
        read_results(folder),
        Description.load(description) if description.is_file() else None,
        _skipped(folder / pathlib.PurePath(str(starts[-1]["arguments"].get("logging_file") or "log.txt")).name),
    )


def _skipped(log: pathlib.Path) -> list[str]:
    """The samples that the logs of all processes of a run say were skipped."""
    found: dict[str, None] = {}
    others = log.parent.glob(f"{glob.escape(log.stem)}-rank*{glob.escape(log.suffix)}")
    for path in [*([log] if log.is_file() else []), *sorted(others)]:
        try:
            with open(path, encoding="utf-8", errors="replace") as lines:
                found.update(dict.fromkeys(match[1] for match in map(_SKIPPED.fullmatch, lines) if match))
        except OSError as error:
            raise FailureError(f"{path}: cannot be read ({error.strerror})") from None
    return [*found]


def _content(runs: list[_Run]) -> typing.Iterator[str]:
    """The parts of the page."""
    histories = {run.name: run.history for run in runs}
    yield "<h2>Results</h2>" + table(["", *histories], _results(runs))
    if any(histories.values()):
        # Of several runs one accuracy is enough; more lines cannot be told apart.
        drawn = [one for one in _METER.columns if len(runs) == 1 or one.name == _METER.headline or not one.fraction]
        yield "<h2>Curves</h2>" + _curves(histories, panels_of(drawn))
        yield "<h2>Speed</h2>" + _curves(histories, _SPEED)
    yield _settings(runs)
    yield "<h2>Samples that could not be read</h2>"
    for run in runs:
        items = "".join(f"<li>{html.escape(printable(one))}</li>" for one in run.skipped[:_SHOWN])
        more = f"<p>and {len(run.skipped) - _SHOWN:,} more, see the log</p>" if len(run.skipped) > _SHOWN else ""
        yield f"<p>{html.escape(run.name)}: {len(run.skipped):,}</p><ul>{items}</ul>{more}"
    yield "<h2>Starts</h2>" + table(["time", "run", "command", "versions"], _starts(runs))


def _curves(histories: dict[str, list[dict[str, float]]], panels: typing.Sequence[Panel]) -> str:
    figures = (svg(curves_figure(histories, [panel]), f"{panel.title} of {', '.join(histories)}") for panel in panels)
    return f'<div class="panels">{"".join(figures)}</div>'


def _results(runs: list[_Run]) -> list[list[str]]:
    """The rows of the table of results: a cell for each run."""
    best = [best_epoch(run.history, f"val_{_METER.headline}") for run in runs]
    speeds = (_median(run, "images_per_second", "{:,.4g}".format) for run in runs)
    waits = (_median(run, "data_wait", percent) for run in runs)
    return [
        ["network", *(run.description.network if run.description else "" for run in runs)],
        ["epochs", *(f"{len(run.history)} of {run.arguments.get('num_epochs') or '?'}" for run in runs)],
        ["best epoch", *(f"{row['epoch']:.0f}" if row else "" for row in best)],
        *_metrics(best),
        ["validated samples", *(f"{row['val_count']:,.0f}" if row else "" for row in best)],
        ["samples a second, median of the epochs", *speeds],
        ["waiting for data, median of the epochs", *waits],
        ["steps skipped", *(f"{sum(row['skipped_steps'] for row in run.history):.0f}" for run in runs)],
    ]


def _metrics(best: typing.Sequence[dict[str, float] | None]) -> typing.Iterator[list[str]]:
    """The rows with the metrics of each run's best epoch, those of averaged weights if a run has them."""
    for column in _METER.columns:
        for prefix, title in _PREFIXES.items():
            values = [row.get(f"{prefix}_{column.name}") if row else None for row in best]
            shown = ["" if one is None else percent(one) if column.fraction else f"{one:.4g}" for one in values]
            if any(shown):
                yield [title.format(column.label), *shown]


def _median(run: _Run, column: str, in_words: typing.Callable[[float], str]) -> str:
    return in_words(statistics.median(row[column] for row in run.history)) if run.history else ""


def _settings(runs: list[_Run]) -> str:
    """The settings that differ between runs, or of a single run those that are not the defaults."""
    names = [run.name for run in runs]
    first = {} if len(runs) == 1 else runs[0].arguments
    changed = [changed_options(first, run.arguments) for run in runs]
    before = {name: pair[0] for one in changed for name, pair in one.items()}
    rows = [
        [f"--{name.replace('_', '-')}", *(_shown(one.get(name, (0, was))[1]) for one in changed)]
        for name, was in before.items()
    ]
    if len(runs) == 1:
        return "<h2>Settings other than the defaults</h2>" + table(["", *names], rows)
    return "<h2>Settings that differ</h2>" + (table(["", *names], rows) if rows else "<p>none</p>")


def _shown(value: typing.Any) -> str:
    if isinstance(value, (list, tuple)):
        return ",".join(map(_shown, value))
    return "" if value is None else printable(str(value))


def _starts(runs: list[_Run]) -> typing.Iterator[list[str]]:
    for run in runs:
        for start in run.starts:
            versions = start.get("versions")
            told = ", ".join(f"{name} {one}" for name, one in versions.items()) if isinstance(versions, dict) else ""
            command = start.get("command")
            words = " ".join(map(str, command)) if isinstance(command, list) else ""
            yield [printable(str(start.get("time", ""))), run.name, printable(words), printable(told)]
