"""Proof that MXNet's record iterator can decode every image of a record file, made once for each file.

The iterator ends the process, with SIGFPE, at an image that it cannot decode.
"""

from __future__ import annotations

import contextlib
import functools
import json
import typing

import mxnet as mx
import numpy as np

from a2net_gluon.data.decoding import DecodeError, decode
from a2net_gluon.data.records import RecordFile
from a2net_gluon.data.samples import ImageSamples
from a2net_gluon.data.soundness import check_all
from a2net_gluon.errors import FailureError
from a2net_gluon.files import write_text
from a2net_gluon.formats.bounded_json import read_json
from a2net_gluon.terminal import libraries_silenced

__all__ = ["check_decodable"]


def check_decodable(file: RecordFile, workers: int = 0) -> None:
    """Decode every image of `file`, unless that is known to have succeeded.

    A file beside it, with the ending .proven, has its size and time of change. It is not there if the folder may only
    be read; each start then decodes all images.

    Parameters
    ----------
    file : RecordFile
    workers : int
        Processes; 0: this one.

    Raises
    ------
    FailureError
        If an image cannot be decoded.
    """
    proven, state = file.rec.with_name(f"{file.rec.name}.proven"), _state(file)
    with contextlib.suppress(OSError, ValueError):
        if read_json(proven) == state:
            return
    samples = ImageSamples(file.names, file.labels, functools.partial(_decode_twice, file))
    checked = check_all(samples, workers, f"checking {file.rec.name}")
    damaged = [f"{one.name} ({one.problem})" for one in checked if one.problem]
    if damaged:
        raise FailureError(
            f"{damaged[0]}, and {len(damaged) - 1} others, would end MXNet's iterator: leave --native-reader out, so "
            "that they are skipped, or pack the file again"
        )
    with contextlib.suppress(FailureError):
        write_text(proven, json.dumps(state) + "\n")


def _state(file: RecordFile) -> list[typing.Any]:
    """The decoder and the state of the file for which a proof holds."""
    status = file.rec.stat()
    return ["decoded by mxnet", mx.__version__, status.st_size, status.st_mtime_ns]


def _decode_twice(file: RecordFile, number: int) -> np.ndarray:
    """Decode an image with MXNet's decoder, which knows fewer formats, and ours, which alone reports all damage."""
    content = file.content(number)
    image = decode(content)
    try:
        with libraries_silenced():
            mx.image.imdecode(content).wait_to_read()
    except mx.MXNetError:
        raise DecodeError("not an image MXNet can decode") from None
    return image
