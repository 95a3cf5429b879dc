"""Model archives for multi-model-server (version 1.1): a ZIP file of an export, a manifest and a handler.

The server unpacks the archive and imports the handler, `a2net_gluon.deploy.service`; its Python needs this package.
"""

from __future__ import annotations

import json
import pathlib
import zipfile
from typing import Collection

from a2net_gluon.deploy.forms import exported_files
from a2net_gluon.files import AnyPath

__all__ = ["PREFIX", "write_archive"]

PREFIX = "model"  # start of the names of the export's files in an archive
_MODULE = "a2net_handler"
_HANDLER = '"""The entry point of multi-model-server."""\n\nfrom a2net_gluon.deploy.service import handle\n'


def write_archive(prefix: AnyPath, forms: Collection[str], name: str) -> pathlib.Path:
    """Write ``<prefix>.mar`` with the files of an export.

    Parameters
    ----------
    prefix : str or Path
        Of the export.
    forms : collection of str
        Its forms.
    name : str
        The default name of the network on the server.

    Returns
    -------
    Path
        The archive.
    """
    manifest = {
        "runtime": "python",
        "model": {"modelName": name, "handler": f"{_MODULE}:handle"},
        "modelServerVersion": "1.0",
        "implementationVersion": "1.0",
        "specificationVersion": "1.0",
    }
    path = exported_files(prefix, ["archive"])[0]
    start = len(pathlib.Path(prefix).name)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("MAR-INF/MANIFEST.json", json.dumps(manifest, indent=2) + "\n")
        archive.writestr(f"{_MODULE}.py", _HANDLER)
        for file in exported_files(prefix, forms):
            archive.write(file, f"{PREFIX}{file.name[start:]}")
    return path
