"""A scenario's report on the disk: JSON with everything, Markdown and a picture."""

import json

from a2net_gluon.files import replacing, write_text
from benchmarks.pictures import draw
from benchmarks.tables import markdown

__all__ = ["write_report"]


def write_report(report, folder):
    """Write ``<scenario>.json``, ``.md`` and ``.png`` into `folder`."""
    stem = folder / report["scenario"]
    write_text(stem.with_suffix(".json"), json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    write_text(stem.with_suffix(".md"), markdown(report))
    with replacing(stem.with_suffix(".png")) as temporary:
        draw(report).savefig(temporary, format="png", dpi=100)
