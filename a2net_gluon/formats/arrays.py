"""The structure of MXNet's array files (.params): MXNet 1.9.1 reads past the end of its memory if it is wrong."""

from __future__ import annotations

import io
import math
import os
import struct
import typing

__all__ = ["check_array", "check_array_file"]

_FILE = 0x112  # first number of a file
_PLAIN, _SPARSE, _NUMPY = 0xF993FAC8, 0xF993FAC9, 0xF993FACA  # formats of an array; older ones begin with the rank
_DENSE = 0  # storage
_DEVICES = (1, 2, 3, 5)  # CPU, GPU, pinned and shared memory
_MOST_AXES = 32
_SIZES = {0: 4, 1: 8, 2: 2, 3: 1, 4: 4, 5: 1, 6: 8, 7: 1, 12: 2}  # bytes of a value by MXNet's number of its type


def check_array_file(path: str | os.PathLike[str]) -> None:
    """Raise a ValueError unless file `path` holds dense arrays and their names, and nothing else."""
    with open(path, "rb") as file:
        reader = _Reader(file)
        if reader.number("<Q") != _FILE:
            raise ValueError("it is no array file")
        reader.number("<Q")  # reserved
        arrays = reader.number("<Q")
        for _ in range(arrays):
            _skip_array(reader)
        names = reader.number("<Q")
        if names not in (0, arrays):
            raise ValueError(f"it has {names} names for {arrays} arrays")
        for _ in range(names):
            reader.skip(reader.number("<Q"))
        reader.end()


def check_array(content: bytes) -> None:
    """Raise a ValueError unless `content` is one dense array, as in the pickle of an NDArray."""
    reader = _Reader(io.BytesIO(content))
    _skip_array(reader)
    reader.end()


class _Reader:
    """Reads numbers from a file, and never past its end."""

    def __init__(self, file: typing.BinaryIO) -> None:
        self._file = file
        self._left = file.seek(0, os.SEEK_END)
        file.seek(0)

    def number(self, code: str) -> int:
        """Read a number in the notation of `struct`."""
        size = struct.calcsize(code)
        self._take(size)
        return struct.unpack(code, self._file.read(size))[0]

    def skip(self, count: int) -> None:
        """Leave `count` bytes out."""
        self._take(count)
        self._file.seek(count, os.SEEK_CUR)

    def end(self) -> None:
        """Raise a ValueError if something is left."""
        if self._left:
            raise ValueError(f"{self._left} bytes follow its end")

    def _take(self, count: int) -> None:
        self._left -= count
        if self._left < 0:
            raise ValueError("it is truncated")


def _skip_array(reader: _Reader) -> None:
    start = reader.number("<I")
    if start in (_SPARSE, _NUMPY) and reader.number("<i") != _DENSE:
        raise ValueError("it holds a sparse array")
    dated = start not in (_PLAIN, _SPARSE, _NUMPY)
    rank = start if dated else reader.number("<i")
    if not 1 <= rank <= _MOST_AXES:
        raise ValueError(f"it holds an array of {rank} dimensions")
    shape = [reader.number("<I" if dated else "<q") for _ in range(rank)]
    if min(shape) < 1:
        raise ValueError(f"it holds an array of shape {tuple(shape)}")
    device, number, kind = (reader.number("<i") for _ in range(3))
    if device not in _DEVICES or number < 0 or kind not in _SIZES:
        raise ValueError("it holds an array of an unknown device or type")
    reader.skip(math.prod(shape) * _SIZES[kind])
