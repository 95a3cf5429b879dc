"""Packing an image folder as RecordIO with MXNet's own im2rec.py."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

from a2net_gluon.data.folder import list_images
from a2net_gluon.data.records import RecordFile
from a2net_gluon.errors import FailureError, UsageError
from a2net_gluon.files import folder_for_output

__all__ = ["pack_folder"]

# im2rec closes its files only when its process ends, so it runs in a process of its own. The import of a2net_gluon lets
# it run with numpy 1.24 and newer, which Python 3.12 needs.
_IM2REC = "import a2net_gluon, runpy; runpy.run_module('mxnet.tools.im2rec', run_name='__main__')"


def pack_folder(folder: str | os.PathLike[str], prefix: str | os.PathLike[str]) -> int:
    """Write ``<prefix>.rec``, ``.idx`` and ``.lst`` from ``folder/<class>/``; returns the number of images.

    The files are packed as they are, in shuffled order.

    Raises
    ------
    UsageError
        If the folder is missing or has no classes, or `prefix` is a folder, which im2rec would search for lists.
    FailureError
        If a class is empty, or nothing can be written.
    """
    list_images(folder)
    prefix = pathlib.Path(prefix)
    if prefix.is_dir():
        raise UsageError(f"{prefix} is a folder; the prefix is the start of file names, e.g. {prefix}-records")
    folder_for_output(prefix.parent)
    for flags in (["--list", "--recursive"], ["--pass-through"]):
        words = [sys.executable, "-c", _IM2REC, *flags, str(prefix), str(folder)]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise FailureError(f"{prefix}: im2rec failed ({reason})")
    return len(RecordFile(f"{prefix}.rec"))
