"""Pages of HTML that hold everything that they show: no other file, no network."""

from __future__ import annotations

import html
import json
import pathlib
from typing import Any

__all__ = ["render"]

_TEMPLATES = pathlib.Path(__file__).parent / "templates"


def render(template: str, title: str, data: Any) -> str:
    """Return the text of a page.

    Parameters
    ----------
    template : str
        Name of a file in ``templates``, with places for ``{{title}}``, ``{{style}}`` and ``{{data}}``.
    title : str
    data : object
        For the page's program, as JSON; its numbers are finite.
    """
    text, style = ((_TEMPLATES / name).read_text(encoding="utf-8") for name in (template, "page.css"))
    # In a script element only "<" could begin something else. Bytes of file names that are not UTF-8 are escaped.
    content = json.dumps(data, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    for name, value in (("title", html.escape(title)), ("style", style), ("data", content)):
        text = text.replace("{{" + name + "}}", value, 1)
    return text
