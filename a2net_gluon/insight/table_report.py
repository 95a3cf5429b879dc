"""The paper's tables as text, Markdown, CSV and JSON, with counted figures beside printed ones."""

from __future__ import annotations

import collections
import csv
import io
import json
from typing import Any, Iterable, Iterator

from a2net_gluon.errors import FailureError
from a2net_gluon.insight.paper_tables import CONVENTIONS, TABLES
from a2net_gluon.insight.tables import KNOWN_MISSES, NONE, NOT_MEASURED, Column, Figure, Row, Table, Verdict

__all__ = ["as_csv", "as_json", "as_markdown", "as_text", "check", "compared", "markdown_table", "summary"]

_MARKS = {Verdict.MATCH: " ✓", Verdict.KNOWN_MISS: " ✗", Verdict.UNEXPECTED: " ✗ unexpected"}
LEGEND = (
    "✓: equal to the printed figure. ✗: a known miss, explained below. ✗ unexpected: any other difference. Figures "
    f'without a mark have no counterpart. Accuracies are the paper\'s; "{NOT_MEASURED}": no network of this library '
    "has been trained on these data."
)


def compared() -> Iterator[tuple[Table, Row, Column, Figure]]:
    """Yield table, row, column and `Figure` of every cost that the paper prints and this library counts."""
    for table in TABLES:
        for row in table.rows:
            for column, figure in zip(table.costs, table.figures(row)):
                if figure.verdict:
                    yield table, row, column, figure


def summary() -> str:
    """Return one line of text with the number of figures that match, and of those that do not."""
    counts = collections.Counter(figure.verdict for *_, figure in compared())
    return (
        f"{sum(counts.values())} printed costs: {counts[Verdict.MATCH]} match to the printed digits, "
        f"{counts[Verdict.KNOWN_MISS]} are known misses, {counts[Verdict.UNEXPECTED] or 'none'} unexpected"
    )


def check() -> None:
    """Raise a FailureError that names the first figure that neither matches nor is a known miss."""
    unexpected = [found for found in compared() if found[-1].verdict == Verdict.UNEXPECTED]
    if unexpected:
        table, row, column, figure = unexpected[0]
        raise FailureError(
            f"printed costs that do not come out: {len(unexpected)}, the first in Table {table.number}: "
            f"{column.heading} of {' '.join(row.labels)} is {figure.printed} in the paper and {figure.rounded()} here; "
            "mend the network, or list the miss in KNOWN_MISSES"
        )


def as_text() -> str:
    """Return all tables as text for a terminal."""
    parts = []
    for table in TABLES:
        headings, *rows = _grid(table)
        grid = [*zip(*headings), *rows]
        widths = [max(len(cell) for cell in column) for column in zip(*grid)]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(cells, widths)).rstrip() for cells in grid]
        parts += [f"Table {table.number}: {table.title}", "\n".join(lines)]
        parts += [_list(table.notes)] if table.notes else []
    parts += ["Known misses", _list(_misses()), "Conventions", _list(CONVENTIONS), LEGEND, f"{summary()}."]
    return "\n\n".join(parts) + "\n"


def _list(lines: Iterable[str]) -> str:
    return "\n".join(f"* {line}" for line in lines)


def as_markdown() -> str:
    """Return all tables as a Markdown page."""
    parts = [
        "<!-- written by a2net tables --markdown FILE -->\n# The paper's tables",
        "`a2net tables` prints the costs of Tables 1 to 6 twice: the paper's printed figures, and figures counted on "
        f"this library's traced networks. {summary()}.",
        LEGEND,
        _list(CONVENTIONS),
    ]
    for table in TABLES:
        parts += [f"## Table {table.number}: {table.title}", markdown_table(table)]
        parts += [_list(table.notes)] if table.notes else []
    parts += ["## Known misses", _list(_misses())]
    return "\n\n".join(parts) + "\n"


def markdown_table(table: Table) -> str:
    """Return one table in Markdown, without its heading and notes."""
    headings, *rows = _grid(table)
    headings = [f"{top}, *{bottom}*" if bottom else top for top, bottom in headings]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (headings, ["---"] * len(headings), *rows))


def as_csv() -> str:
    """Return all figures as CSV, one in each row, counts in all digits."""
    file = io.StringIO()
    writer = csv.DictWriter(file, _FIELDS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(_records())
    return file.getvalue()


def as_json() -> str:
    """Return the same as a JSON array of objects."""
    return json.dumps([*_records()], ensure_ascii=False)


_FIELDS = ("table", "row", "column", "paper", "here", "verdict")


def _records() -> Iterator[dict[str, Any]]:
    for table in TABLES:
        for row in table.rows:
            start = (table.number, " ".join(row.labels))
            for column, figure in zip(table.costs, table.figures(row)):
                here = NONE if figure.value is None else figure.value
                yield dict(zip(_FIELDS, (*start, column.heading, figure.printed, here, figure.verdict or "")))
            for heading, printed in zip(table.accuracies, row.accuracies):
                yield dict(zip(_FIELDS, (*start, heading, printed, _measured(row), "")))


def _grid(table: Table) -> list[list[Any]]:
    """Return the headings, pairs of quantity and source, and the rows of cells."""
    printed = [any(row.costs[index] != NONE for row in table.rows) for index in range(len(table.costs))]
    headings = [(label, "") for label in table.labels]
    for column, also_printed in zip(table.costs, printed):
        headings += [(column.heading, "paper")] * also_printed + [(column.heading, "here")]
    headings += [(heading, "paper") for heading in table.accuracies]
    headings += [("accuracies", "here")] * bool(table.accuracies)
    rows = []
    for row in table.rows:
        cells = [*row.labels]
        for column, figure, also_printed in zip(table.costs, table.figures(row), printed):
            here = figure.text(column.exact) + (_MARKS[figure.verdict] if figure.verdict else "")
            cells += [figure.printed] * also_printed + [here]
        rows.append([*cells, *row.accuracies, *[_measured(row)] * bool(table.accuracies)])
    return [headings, *rows]


def _measured(row: Row) -> str:
    return NONE if row.network is None else row.measured


def _misses() -> Iterator[str]:
    """Yield the explanation of each known miss, with the numbers of its tables."""
    tables: dict[str, list[int]] = collections.defaultdict(list)
    for table, _, _, figure in compared():
        if figure.verdict == Verdict.KNOWN_MISS and table.number not in tables[figure.printed]:
            tables[figure.printed].append(table.number)
    for printed, numbers in tables.items():
        ours, why = KNOWN_MISSES[printed]
        where = f"Table{'s' * (len(numbers) > 1)} {' and '.join(map(str, numbers))}"
        yield f"{where}: {printed}, here {ours}; {why}."
