#!/usr/bin/env python
"""Train a network on video clips, by default digits that move; see ``--help`` and docs/videos.md."""

from __future__ import annotations

import sys
import typing

from a2net_gluon.cli import run, train_video


def main(arguments: typing.Sequence[str] | None = None) -> int:
    """Train with the options of the command line; returns the exit code."""
    return run(train_video, sys.argv[1:] if arguments is None else arguments, prog="train_video.py")


if __name__ == "__main__":
    sys.exit(main())
