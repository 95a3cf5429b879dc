"""Where context blocks stand: a placement such as ``{"conv3": (2, 4)}`` names residual units, counted from 1."""

import math
import typing

from mxnet.gluon import nn

from a2net_gluon.errors import UsageError

__all__ = ["check_placement", "locations", "stage_with_contexts"]


def check_placement(units, placement):
    """Refuse a placement that a network has no room for.

    Parameters
    ----------
    units : dict of str to int
        The network's stages and the number of residual units in each.
    placement : dict of str to tuple of int
        Stage name to the units after which a context block stands.

    Raises
    ------
    UsageError
        A ValueError, if `placement` names a stage or unit that is not there, or is no such dict.
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


def locations(architecture, sizes):
    """Number of locations of each stage's map, ``{"conv2": L, …}``, for an input of `sizes`: (h, w) or (t, h, w)."""
    found = []
    for stride in architecture.strides():
        sizes = [math.ceil(size / step) for size, step in zip(sizes, stride)]  # everything is "same"-padded
        found.append(math.prod(sizes))
    stages = architecture.named_stages()
    return dict(zip(stages, found[-len(stages) :]))


def stage_with_contexts(name, units, context, after):
    """Put the residual units of a stage in a row, and context blocks between them.

    Parameters
    ----------
    name : str
        Of the stage; context blocks are called ``<name>_x__<unit>_context``.
    units : iterable of HybridBlock
    context : callable
        ``context(prefix)`` returns a context block for this stage.
    after : tuple of int
        Units (from 1) after which a context block stands.

    Returns
    -------
    HybridSequential
        Children ``unit1``, ``context1``, ``unit2``, …
    """
    stage = nn.HybridSequential(prefix="")
    for number, unit in enumerate(units, start=1):
        stage.register_child(unit, f"unit{number}")
        if number in after:
            stage.register_child(context(prefix=f"{name}_x__{number}_context__"), f"context{number}")
    return stage
