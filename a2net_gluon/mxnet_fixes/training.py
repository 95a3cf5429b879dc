"""The state of a trainer."""

from __future__ import annotations

import typing

import mxnet as mx

__all__ = [
    "all_finite",
    "create_optimizer_state",
    "optimizer_states",
    "set_optimizer_states",
    "trained_contexts",
    "trained_parameters",
]


def all_finite(arrays: typing.Iterable[mx.nd.NDArray]) -> bool:
    """Return whether no value in `arrays`, all on one device, is NaN or infinite; waits for them.

    MXNet 1.9.1's operator ``multi_all_finite`` has room for 200 arrays and crashes with more. It takes one type of
    values at a time: with float16, BN's parameters stay in float32.
    """
    groups: dict[typing.Any, list[mx.nd.NDArray]] = {}
    for array in arrays:
        groups.setdefault(array.dtype, []).append(array)
    parts = [same[start : start + 200] for same in groups.values() for start in range(0, len(same), 200)]
    return all(mx.nd.multi_all_finite(*part, num_arrays=len(part)).asscalar() == 1 for part in parts)


def trained_contexts(trainer: mx.gluon.Trainer) -> list[mx.Context]:
    """Return the devices of a trainer; MXNet 1.9.1 keeps them in a private attribute."""
    return list(trainer._contexts)


def trained_parameters(trainer: mx.gluon.Trainer) -> list[mx.gluon.Parameter]:
    """Return the parameters of a trainer, in the order in which its optimizer numbers them."""
    return list(trainer._params)


def optimizer_states(trainer: mx.gluon.Trainer) -> dict[int, typing.Any]:
    """Return the optimizer's state of each parameter by its number: an array, a tuple of such, or None.

    Every device has the same. The only public way to them, ``Trainer.save_states`` of MXNet 1.9.1, pickles the
    optimizer with its schedule.
    """
    return trainer._updaters[0].states


def create_optimizer_state(trainer: mx.gluon.Trainer, number: int, context: mx.Context) -> typing.Any:
    """Create the state with which a parameter starts on a device; otherwise that is done in the first step."""
    weight = trainer._params[number].data(context)
    return trainer._optimizer.create_state_multi_precision(number, weight)


def set_optimizer_states(trainer: mx.gluon.Trainer, context: mx.Context, states: dict[int, typing.Any]) -> None:
    """Set the optimizer's states on one device, by the numbers of their parameters."""
    updater = trainer._updaters[trainer._contexts.index(context)]
    for number, state in states.items():
        updater.states[number] = state
        updater.states_synced[number] = True
