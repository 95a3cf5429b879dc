"""Pages of HTML that hold everything that they show: no other file, no network."""

from __future__ import annotations

import html
import io
import json
import pathlib
import re
from typing import TYPE_CHECKING, Any, Iterable, Sequence

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["render", "script_data", "svg", "table"]

_TEMPLATES = pathlib.Path(__file__).parent / "templates"


def render(template: str, title: str, **content: str) -> str:
    """Return the text of a page.

    Parameters
    ----------
    template : str
        Name of a file in ``templates``, with places such as ``{{title}}``, ``{{style}}`` and ``{{data}}``.
    title : str
    content
        HTML for the other places, by their names.
    """
    text, style = ((_TEMPLATES / name).read_text(encoding="utf-8") for name in (template, "page.css"))
    parts = {"title": html.escape(title), "style": style, **content}
    return re.sub(r"{{(\w+)}}", lambda place: parts[place[1]], text)


def script_data(data: Any) -> str:
    """Return data of finite numbers as JSON for a script element, in which only "<" could begin something else."""
    return json.dumps(data, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def table(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table of texts; the first of a row is its heading."""
    head = "".join(f'<th scope="col">{html.escape(cell)}</th>' for cell in heading)
    lines = ((first, "".join(f"<td>{html.escape(cell)}</td>" for cell in cells)) for first, *cells in rows)
    body = "".join(f'<tr><th scope="row">{html.escape(first)}</th>{cells}</tr>' for first, cells in lines)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def svg(figure: Figure, label: str) -> str:
    """Return a figure as an SVG element, with `label` for who cannot see it."""
    import matplotlib

    file = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": label}):
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    text = file.getvalue()
    return f'<figure role="img" aria-label="{html.escape(label)}">{text[text.index("<svg"):]}</figure>'
