#!/usr/bin/env python
"""Train an image network on ImageNet or other images; see ``--help`` and README.md."""

from __future__ import annotations

import sys
import typing

from a2net_gluon.cli import run, train


def main(arguments: typing.Sequence[str] | None = None) -> int:
    """Train with the options of the command line; returns the exit code."""
    return run(train, sys.argv[1:] if arguments is None else arguments, prog="train_imagenet.py")


if __name__ == "__main__":
    sys.exit(main())
