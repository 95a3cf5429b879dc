"""The optimizer's state as plain arrays, and GluonCV's pickled files."""

from __future__ import annotations

import os
import pathlib
import pickle
import typing

import mxnet as mx
import numpy as np
from mxnet import gluon

from a2net_gluon import mxnet_fixes
from a2net_gluon.errors import FailureError, UsageError
from a2net_gluon.formats.arrays import check_array
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
    """Restore the file of `save_optimizer`; without a file, training had no state yet.

    Raises
    ------
    FailureError
        If it is damaged or belongs to another network.
    """
    arrays = read_arrays(path) if path.exists() else {}
    for context in mxnet_fixes.trained_contexts(trainer):
        states = {}
        for number, parameter in enumerate(mxnet_fixes.trained_parameters(trainer)):
            if parameter.grad_req == "null":
                continue
            states[number] = mxnet_fixes.create_optimizer_state(trainer, number, context)
            for name, array in _flatten(parameter.name, states[number]).items():
                if name in arrays:
                    _check_fit(path, name, arrays[name], array)
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


class _StoredArray(_Ignored):
    """The content of an NDArray, which MXNet would read without a look at its structure."""

    content: typing.Any = None

    def __setstate__(self, state: typing.Any) -> None:
        self.content = state["handle"]


def _bytes(content: bytes | str = b"", encoding: str = "latin-1") -> bytearray:
    """In place of bytearray, which a file can also ask for any number of zeros."""
    return bytearray(content.encode(encoding) if isinstance(content, str) else bytes(memoryview(content)))


_HARMLESS: dict[tuple[str, str], typing.Callable[..., typing.Any]] = {
    ("mxnet.ndarray.ndarray", "NDArray"): _StoredArray,
    ("builtins", "bytearray"): _bytes,
}


class _ArraysOnly(pickle.Unpickler):
    """Reads arrays and plain containers; no other class or function of the file's choice is imported or called."""

    def find_class(self, module: str, name: str) -> typing.Any:
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
        states = content[0] if isinstance(content, tuple) and content else content
        states = {_number(number): _arrays_of(state) for number, state in states.items()}
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file of trainer states") from None
    except Exception:  # a damaged pickle raises almost anything
        raise FailureError(f"{path}: not a file of gluon.Trainer.save_states, or damaged") from None
    parameters = mxnet_fixes.trained_parameters(trainer)
    for number, state in states.items():
        if number >= len(parameters):
            raise FailureError(f"{path}: parameter {number} does not fit this network, which has {len(parameters)}")
        like = parameters[number].list_data()[0]
        for name, array in _flatten(f"parameter {number}", state).items():
            _check_fit(path, name, array, like)
    for context in mxnet_fixes.trained_contexts(trainer):
        there = {number: _on(state, context) for number, state in states.items()}
        mxnet_fixes.set_optimizer_states(trainer, context, there)


def _number(value: typing.Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"{value!r} is no number of a parameter")
    return value


def _arrays_of(state: typing.Any) -> typing.Any:
    """The state of a parameter, an array, None or a tuple of such; a ValueError if the file holds anything else."""
    if isinstance(state, (tuple, list)):
        return tuple(map(_array_of, state))
    return _array_of(state)


def _array_of(state: typing.Any) -> mx.nd.NDArray | None:
    if state is None:
        return None
    if not isinstance(state, _StoredArray) or not isinstance(state.content, bytearray):
        raise ValueError("not an array")
    check_array(bytes(state.content))
    return mxnet_fixes.unpickled_array(state.content)


def _check_fit(path: typing.Any, name: str, array: mx.nd.NDArray, like: mx.nd.NDArray) -> None:
    """Raise a FailureError unless `array` has the shape of `like`, values of a type to train with, and all finite."""
    if array.shape != like.shape:
        raise FailureError(
            f"{path}: {name} does not fit this network, {array.shape} in place of {like.shape}; name the model it was "
            "made with"
        )
    if array.dtype not in (np.float32, like.dtype):
        kind = np.dtype(array.dtype)
        raise FailureError(f"{path}: {name} is of {kind}, optimizer states are of float32; save them again")
    if not mxnet_fixes.all_finite([array]):
        raise FailureError(f"{path}: {name} is not finite: resume from an earlier state")


def _on(state: typing.Any, context: mx.Context) -> typing.Any:
    if isinstance(state, tuple):
        return tuple(_on(part, context) for part in state)
    return None if state is None else state.as_in_context(context)
