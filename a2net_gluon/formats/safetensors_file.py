"""Files of safetensors: a JSON header with names, types and shapes, then the numbers; nothing in them is run.

The format is that of https://github.com/huggingface/safetensors, whose library reads it and checks it against the size
of the file.
"""

from __future__ import annotations

import os
import typing

import numpy as np

__all__ = ["read_metadata", "read_tensors", "write_tensors"]

_FLOATS = ("F16", "F32", "F64")


def read_tensors(path: str | os.PathLike[str], ignored: str) -> dict[str, np.ndarray]:
    """Read the tensors of file `path` by their names, as float32.

    Parameters
    ----------
    path : str or Path
    ignored : str
        Tensors whose names end in this are left out.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it is no such file, or holds anything but floating-point numbers, all of them finite in float32.
    """
    with _opened(path) as file:
        names = [name for name in list(file.keys()) if not name.endswith(ignored)]
        if not names:
            raise ValueError("it holds no tensors")
        return {name: _read(file, name) for name in names}


def read_metadata(path: str | os.PathLike[str]) -> dict[str, str]:
    """Read the texts beside the tensors of file `path`; errors as from `read_tensors`."""
    with _opened(path) as file:
        return file.metadata() or {}


def write_tensors(tensors: dict[str, np.ndarray], metadata: dict[str, str], path: str | os.PathLike[str]) -> None:
    """Write tensors and texts to file `path`; OSError or ValueError if that fails."""
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    try:
        save_file(tensors, os.fspath(path), metadata)
    except SafetensorError as error:
        raise ValueError(str(error)) from None


def _opened(path: str | os.PathLike[str]) -> typing.Any:
    from safetensors import SafetensorError, safe_open

    try:
        return safe_open(os.fspath(path), framework="np")
    except SafetensorError as error:
        raise ValueError(f"truncated, or not a file of safetensors: {error}") from None


def _read(file: typing.Any, name: str) -> np.ndarray:
    described = file.get_slice(name)
    kind, shape = described.get_dtype(), tuple(described.get_shape())
    if kind not in _FLOATS:
        raise ValueError(f"{name} is of type {kind}, not {', '.join(_FLOATS)}: save it in float32")
    if not shape or min(shape) < 1:
        raise ValueError(f"{name} is of shape {shape}")
    with np.errstate(over="ignore"):  # it becomes infinite, which is refused
        values = file.get_tensor(name).astype(np.float32)
    if not np.isfinite(values).all():
        raise ValueError(f"{name} holds numbers that are NaN, infinite or too large for float32")
    return values
