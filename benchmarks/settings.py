"""Sizes of a benchmark, and what the commands share: a parser, errors as one line."""

import argparse
import dataclasses
import pathlib
import sys
import typing

from a2net_gluon.errors import FailureError, UsageError

__all__ = ["QUICK", "Settings", "exit_code", "parser"]


@dataclasses.dataclass(frozen=True)
class Settings:
    """Sizes of a benchmark; the defaults are those of docs/results/speed.md."""

    network: str = "a2net_resnet50"  # with attention blocks
    plain: str = "resnet50"  # without
    classes: int = 1000
    size: int = 224
    batch: int = 16
    square: int = 4096  # size of the matrices whose product gives the machine's peak
    rounds: int = 7  # turns of each implementation
    runs: int = 2  # timed runs of a turn
    images: typing.Optional[pathlib.Path] = None  # folder of JPEGs for the scenario input; None: generate some
    generated: tuple = (64, 375, 500)  # number, height and width of generated JPEGs
    files: int = 1024  # of a reader's epoch; fewer JPEGs are repeated
    reads: int = 16  # batches of a reader's run
    readers: tuple = (1, 2, 3)  # numbers of workers
    steps: int = 6  # of an epoch of a training run
    epochs: int = 3  # of a training run
    turns: int = 2  # of implementations that get a new process for each turn: training runs, and blocks on maps
    maps: tuple = ((14, 14), (20, 20), (28, 28), (40, 40), (56, 56), (8, 28, 28), (32, 28, 28))
    channels: int = 256  # c of a block on a map
    width: int = 64  # its m and n
    threads: int = 1
    timeout: float = 900  # seconds for each answer of a worker
    torch: bool = True  # whether PyTorch takes part
    log: typing.Callable = print  # takes lines of progress


# For tests, and to see whether everything runs: the figures mean nothing.
QUICK = {
    "network": "a2net_resnet20_small",
    "plain": "resnet20_small",
    "classes": 10,
    "size": 32,
    "batch": 4,
    "square": 256,
    "rounds": 1,
    "runs": 1,
    "generated": (6, 48, 64),
    "files": 24,
    "reads": 2,
    "readers": (1,),
    "steps": 2,
    "epochs": 2,
    "turns": 1,
    "maps": ((2, 3, 4),),
    "channels": 16,
    "width": 4,
    "timeout": 180,
}


def parser(description, prog=None):
    """Return an argument parser that shows `description` as it is written."""
    return argparse.ArgumentParser(prog, None, description, formatter_class=argparse.RawDescriptionHelpFormatter)


def exit_code(prog, command, *arguments):
    """Run a command and return its exit code; an expected error is printed as one line."""
    try:
        command(*arguments)
    except (UsageError, FailureError) as error:
        print(f"{prog}: error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print(f"{prog}: interrupted", file=sys.stderr)
        return 130
    return 0
