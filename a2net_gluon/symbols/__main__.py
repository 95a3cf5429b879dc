"""``python -m a2net_gluon.symbols SCRIPT …`` runs a script of MXNet's in a process that is prepared for mxnet.

The import of this package has done that: without it, mxnet cannot be imported in Python 3.12, and it computes with half
of the cores of a machine without hyper-threads.
"""

from __future__ import annotations

import os
import runpy
import sys

from a2net_gluon.errors import UsageError
from a2net_gluon.program import Arguments, run


def _check(arguments: Arguments, prog: str) -> None:
    if not arguments or not os.path.isfile(arguments[0]):
        named = f"{arguments[0]}: no such file" if arguments else "no script is named"
        raise UsageError(f"{named}; name a Python script and its arguments, e.g. train_imagenet.py --network a2net")


def _run_script(arguments: Arguments) -> None:
    """Run the script ``arguments[0]`` as Python would, with the other arguments as its own."""
    sys.argv = list(arguments)
    sys.path[0] = os.path.dirname(os.path.abspath(arguments[0]))
    runpy.run_path(arguments[0], run_name="__main__")


if __name__ == "__main__":
    wrong = run(_check, sys.argv[1:], "python -m a2net_gluon.symbols")
    if wrong:
        sys.exit(wrong)
    _run_script(sys.argv[1:])
