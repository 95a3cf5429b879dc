"""What a case can run. ``python -m tests.fuzz.programs WORDS…`` runs it in a process of its own."""

from __future__ import annotations

import hashlib
import sys

from a2net_gluon import cli

__all__ = ["PROGRAMS"]


def pixels(paths):
    """Print a line for each image file: the SHA-256 of its shape and pixels, or why it is refused."""
    from a2net_gluon.data.decoding import DecodeError
    from a2net_gluon.data.folder import read_image

    for path in paths:
        try:
            image = read_image(path)
            found = hashlib.sha256(repr(image.shape).encode() + image.tobytes()).hexdigest()
        except DecodeError as error:
            found = str(error)
        print(f"{path}: {found}")
    return 0


def python(statements):
    """Run Python statements."""
    for statement in statements:
        exec(statement, {})


PROGRAMS = {"a2net": cli.main, "pixels": pixels, "python": python}

if __name__ == "__main__":
    sys.exit(PROGRAMS[sys.argv[1]](sys.argv[2:]))
