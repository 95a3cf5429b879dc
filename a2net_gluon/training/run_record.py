"""``run.json`` of a run folder: one entry for each start, with arguments and versions."""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import os
import pathlib
import platform
import sys
import typing

from a2net_gluon.errors import FailureError
from a2net_gluon.files import write_text
from a2net_gluon.formats.bounded_json import read_json
from a2net_gluon.training.shapes import ANY, OBJECT, check_shape

__all__ = ["RUN", "last_arguments", "note_start", "read_starts"]

RUN = "run.json"

Start = typing.Dict[str, typing.Any]


def last_arguments(folder: pathlib.Path) -> dict[str, typing.Any]:
    """The arguments of the last start.

    Raises
    ------
    FailureError
        If the file is damaged.
    """
    return read_starts(folder / RUN)[-1]["arguments"]


def note_start(folder: pathlib.Path, **start: typing.Any) -> None:
    """Add a start, with time, command and versions."""
    path = folder / RUN
    entry = {
        "time": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        **start,
        "command": sys.argv,
        "versions": _versions(),
    }
    earlier = read_starts(path) if path.exists() else []
    write_text(path, json.dumps({"starts": [*earlier, entry]}, indent=1) + "\n")


def read_starts(path: pathlib.Path) -> list[Start]:
    """Read the entries of a ``run.json``, at least one; FailureError if it is damaged."""
    try:
        content = read_json(path)
        check_shape(content, {"starts": [{"arguments": OBJECT, ...: ANY}], ...: ANY}, path.name)
        if not content["starts"]:
            raise ValueError("no start")
    except (OSError, ValueError):
        raise FailureError(f"{path} is damaged: restore it, or train into another --save-dir") from None
    return content["starts"]


def _versions() -> dict[str, str | None]:
    import a2net_gluon

    packages = {}
    for name in ("mxnet", "mxnet-cu112", "numpy", "opencv-python", "av"):
        try:
            packages[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "a2net-gluon": a2net_gluon.__version__,
        "python": platform.python_version(),
        **packages,
        "system": platform.platform(),
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS"),
    }
