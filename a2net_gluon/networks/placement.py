"""Places of context blocks: a placement such as ``{"conv3": (2, 4)}`` names units, counted from 1."""

from __future__ import annotations

import math
import typing

from a2net_gluon.errors import UsageError
from a2net_gluon.networks.architecture import Backbone

__all__ = ["check_placement", "locations"]


def check_placement(units: dict[str, int], placement: typing.Any) -> None:
    """Refuse a placement that does not fit a network.

    Parameters
    ----------
    units : dict of str to int
        The network's stages and the number of units in each.
    placement : dict of str to tuple of int
        Stage name to the units after which a context block stands.

    Raises
    ------
    UsageError
        A ValueError, if `placement` names a stage or unit that does not exist, or is no such dict.
    """
    if not isinstance(placement, typing.Mapping):
        raise UsageError(f"placement is {placement!r}; it must be a dict, e.g. {{'conv3': (2, 4)}}")
    for name, numbers in placement.items():
        if not isinstance(numbers, (tuple, list)) or not numbers:
            raise UsageError(f"placement of {name} is {numbers!r}; it must be a tuple of units, e.g. (2, 4)")
        if len({*numbers}) < len(numbers):
            raise UsageError(f"placement of {name} is {numbers!r}; each unit can be named once")
        if name not in units:
            raise UsageError(f"placement names stage {name!r}; this network has {', '.join(units)}")
        for number in numbers:
            if isinstance(number, bool) or number not in range(1, units[name] + 1):
                raise UsageError(f"placement names unit {number!r} of {name}; its units are 1 to {units[name]}")


def locations(architecture: Backbone, sizes: typing.Sequence[int]) -> dict[str, int]:
    """Count the locations of each stage's map, ``{"conv2": L, …}``, for an input of `sizes`: (h, w) or (t, h, w)."""
    found = []
    for stride in architecture.strides():
        sizes = [math.ceil(size / step) for size, step in zip(sizes, stride)]  # all layers are "same"-padded
        found.append(math.prod(sizes))
    stages = architecture.named_stages()
    return dict(zip(stages, found[-len(stages) :]))
