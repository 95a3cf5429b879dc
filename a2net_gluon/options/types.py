"""Kinds of values on a command line, and a parser that reports errors in one line."""

import argparse

__all__ = [
    "Parser",
    "count",
    "names",
    "numbers",
    "placement",
    "position",
    "rate",
    "seed",
    "share",
    "switch",
    "whole",
]


class Parser(argparse.ArgumentParser):
    """An argument parser that takes no abbreviations and reports an error in one line."""

    def __init__(self, **kwargs):
        super().__init__(allow_abbrev=False, **kwargs)

    def error(self, message):
        """Exit with code 2 after one line."""
        self.exit(2, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


def _number(kind, accept, rule):
    def parse(text):
        try:
            value = kind(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not {rule}") from None
        if not accept(value):
            raise argparse.ArgumentTypeError(f"{text} is not {rule}")
        return value

    return parse


count = _number(int, lambda value: value >= 1, "a whole number of at least 1")
whole = _number(int, lambda value: value >= 0, "a whole number of at least 0")
rate = _number(float, lambda value: 0 <= value < float("inf"), "a number of at least 0")
seed = _number(int, lambda value: 0 <= value < 2**31, "a whole number from 0 to 2147483647")
share = _number(float, lambda value: 0 < value <= 1, "a number above 0 and at most 1")
_relative = _number(float, lambda value: 0 <= value <= 1, "a number from 0 to 1")


def numbers(text):
    """Whole numbers, separated by commas."""
    return [whole(part) for part in text.split(",") if part]


def names(text):
    """Words, separated by commas."""
    return [part for part in text.split(",") if part]


def placement(text):
    """Units after which blocks stand, ``conv3:1,2+conv4:1,2``, as ``{"conv3": [1, 2], "conv4": [1, 2]}``."""
    stages = {}
    for part in text.split("+"):
        stage, _, units = part.partition(":")
        if not stage or not units or stage in stages:
            raise argparse.ArgumentTypeError(f"{text!r} is not a placement such as conv4:2 or conv3:1,2+conv4:1,2")
        stages[stage] = [count(unit) for unit in units.split(",")]
    return stages


def position(text):
    """A relative position ``x,y``, both from 0 to 1."""
    parts = text.split(",")
    if len(parts) != 2:
        raise argparse.ArgumentTypeError(f"{text!r} is not a position x,y such as 0.5,0.5")
    return tuple(_relative(part) for part in parts)


def switch(parser, flag, help):
    """Add a flag that is off; ``FLAG false`` turns off what a recipe turned on."""
    parser.add_argument(flag, nargs="?", const=True, default=False, type=_truth, metavar="false", help=help)


def _truth(text):
    try:
        return {"true": True, "false": False}[text.lower()]
    except KeyError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false") from None
