"""The optimizer's state as plain arrays, and GluonCV's pickled files."""

from __future__ import annotations

import os
import pathlib
import pickle
import typing

import mxnet as mx
from mxnet import gluon

from a2net_gluon import mxnet_fixes
from a2net_gluon.errors import FailureError, UsageError
from a2net_gluon.networks.weights import read_arrays, save_arrays

__all__ = ["load_gluon_states", "load_optimizer", "save_optimizer"]


def save_optimizer(trainer: gluon.Trainer, path: pathlib.Path) -> None:
    """Write momentum, and float32 master weights where there are such, to `path`, by the parameters' names."""
    parameters, arrays = mxnet_fixes.trained_parameters(trainer), {}
    for number, state in mxnet_fixes.optimizer_states(trainer).items():
        arrays.update(_flatten(parameters[number].name, state))
    if arrays:
        save_arrays(arrays, path)


def load_optimizer(trainer: gluon.Trainer, path: pathlib.Path) -> None:
    """Restore the file of `save_optimizer`; without a file, training had no state yet."""
    arrays = read_arrays(path) if path.exists() else {}
    for context in mxnet_fixes.trained_contexts(trainer):
        states = {}
        for number, parameter in enumerate(mxnet_fixes.trained_parameters(trainer)):
            if parameter.grad_req == "null":
                continue
            states[number] = mxnet_fixes.create_optimizer_state(trainer, number, context)
            for name, array in _flatten(parameter.name, states[number]).items():
                if name in arrays:
                    arrays[name].copyto(array)
        mxnet_fixes.set_optimizer_states(trainer, context, states)


def _flatten(name: str, state: typing.Any) -> dict[str, mx.nd.NDArray]:
    """``{name: NDArray}`` of one parameter's state: an array, none, or a tuple of such."""
    if state is None:
        return {}
    if isinstance(state, (tuple, list)):
        return {key: array for nth, part in enumerate(state) for key, array in _flatten(f"{name}:{nth}", part).items()}
    return {name: state}


class _Ignored:
    """Placeholder for everything in a pickle that is not an array; none of its code is run."""

    def __new__(cls, *args: object, **kwargs: object) -> _Ignored:
        return object.__new__(cls)

    def __init__(self, *args: object, **kwargs: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass

    def __setitem__(self, key: object, value: object) -> None:
        pass

    def append(self, item: object) -> None:
        pass

    def extend(self, items: object) -> None:
        pass


_HARMLESS: dict[tuple[str, str], type] = {
    ("mxnet.ndarray.ndarray", "NDArray"): mx.nd.NDArray,
    ("builtins", "bytearray"): bytearray,
}


class _ArraysOnly(pickle.Unpickler):
    """Reads arrays and plain containers; no other class or function of the file's choice is imported or called."""

    def find_class(self, module: str, name: str) -> type:
        return _HARMLESS.get((module, name), _Ignored)


def load_gluon_states(trainer: gluon.Trainer, path: str | os.PathLike[str]) -> None:
    """Read the momentum from a file of ``gluon.Trainer.save_states``, as GluonCV's scripts write them.

    Such a file is a pickle, which could run any code; only its arrays are read here. Its optimizer and schedule are
    ignored: the settings of the run apply.

    Raises
    ------
    UsageError
        If there is no such file.
    FailureError
        If it is damaged or belongs to another network.
    """
    try:
        with open(path, "rb") as file:
            content = _ArraysOnly(file).load()
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file of trainer states") from None
    except Exception:  # a damaged pickle raises almost anything
        content = None
    states = content[0] if isinstance(content, tuple) and content else content
    if not isinstance(states, dict) or not all(isinstance(number, int) for number in states):
        raise FailureError(f"{path}: not a file of gluon.Trainer.save_states, or damaged")
    for number, state in states.items():
        _check_shape(path, trainer, number, state)
    for context in mxnet_fixes.trained_contexts(trainer):
        there = {number: _on(state, context) for number, state in states.items()}
        mxnet_fixes.set_optimizer_states(trainer, context, there)


def _check_shape(path: typing.Any, trainer: gluon.Trainer, number: int, state: typing.Any) -> None:
    parameters = mxnet_fixes.trained_parameters(trainer)
    shapes = {array.shape for array in _flatten("", state).values()} if not isinstance(state, _Ignored) else {None}
    if number >= len(parameters) or shapes - {parameters[number].shape}:
        raise FailureError(f"{path}: parameter {number} does not fit this network; name the model it was made with")


def _on(state: typing.Any, context: mx.Context) -> typing.Any:
    if isinstance(state, (tuple, list)):
        return tuple(_on(part, context) for part in state)
    return None if state is None else state.as_in_context(context)
