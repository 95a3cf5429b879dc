"""The way from image files to the input of an exported graph: files, crops or clips, graph input."""

from __future__ import annotations

from typing import Sequence

import mxnet as mx
import numpy as np

from a2net_gluon.data.decoding import DecodeError
from a2net_gluon.data.digits import load_digits
from a2net_gluon.data.folder import read_image
from a2net_gluon.data.preprocessing import Preprocessing
from a2net_gluon.errors import UsageError
from a2net_gluon.files import AnyPath
from a2net_gluon.networks.description import Description

__all__ = ["crops_of", "graph_input"]

DIGITS = 32  # embedded images, used where no files are named


def crops_of(paths: Sequence[AnyPath], preprocessing: Preprocessing) -> np.ndarray:
    """Return the centre crops of image files, uint8 (N, size, size, 3); without files, of embedded handwritten digits.

    Raises
    ------
    UsageError
        If a file is not an image.
    """
    images = (_read(path) for path in paths) if paths else load_digits()[0][:DIGITS]
    return np.stack([preprocessing.centre_crop(image) for image in images])


def graph_input(crops: np.ndarray, description: Description) -> np.ndarray:
    """Turn uint8 crops (N, h, w, 3) into the input of the graph that `description` describes.

    For a network that takes clips, each `frames` crops in a row become one clip; crops left over at the end are
    dropped.

    Raises
    ------
    UsageError
        If the crops are fewer than the frames of one clip.
    """
    if description.input == "pixels":
        return crops
    preprocessing, channels_first = description.preprocessing, crops.transpose(0, 3, 1, 2)
    if preprocessing.frames:
        channels_first = _clips(crops, preprocessing.frames)
    return preprocessing.normalize(mx.nd.array(channels_first, dtype=np.uint8)).asnumpy()


def _clips(crops: np.ndarray, frames: int) -> np.ndarray:
    count = len(crops) // frames
    if not count:
        raise UsageError(f"{len(crops)} images are no clip of {frames} frames: give more")
    clips = crops[: count * frames].reshape(count, frames, *crops.shape[1:])
    return clips.transpose(0, 4, 1, 2, 3)  # (N, t, h, w, 3) to (N, 3, t, h, w)


def _read(path: AnyPath) -> np.ndarray:
    try:
        return read_image(path)
    except DecodeError as error:
        raise UsageError(f"{path}: {error}; omit it") from None
