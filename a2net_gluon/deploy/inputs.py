"""The way from image files to the input of an exported graph: files, crops or clips, graph input."""

from __future__ import annotations

from typing import Sequence

import mxnet as mx
import numpy as np

from a2net_gluon.data.decoding import DecodeError
from a2net_gluon.data.digits import load_digits
from a2net_gluon.data.folder import read_image
from a2net_gluon.data.preprocessing import Preprocessing
from a2net_gluon.data.samples import OnSkip
from a2net_gluon.errors import FailureError, UsageError
from a2net_gluon.files import AnyPath
from a2net_gluon.networks.description import Description

__all__ = ["DIGITS", "crops_of", "graph_input"]

DIGITS = 32  # embedded images, used where no files are named


def crops_of(paths: Sequence[AnyPath], preprocessing: Preprocessing, on_skip: OnSkip | None = None) -> np.ndarray:
    """Return the centre crops of image files, uint8 (N, size, size, 3); without files, of embedded handwritten digits.

    Parameters
    ----------
    paths : sequence of str or Path
    preprocessing : Preprocessing
    on_skip : callable, optional
        Called with name and reason of each file that cannot be read, which is left out.

    Raises
    ------
    FailureError
        If not a single file can be read.
    """
    if not paths:
        return np.stack([preprocessing.centre_crop(image) for image in load_digits()[0][:DIGITS]])
    crops = []
    for path in paths:
        try:
            crops.append(preprocessing.centre_crop(read_image(path)))
        except DecodeError as error:
            problem = f"{path}: {error}"
            if on_skip:
                on_skip(str(path), str(error))
    if not crops:
        raise FailureError(f"{problem}; none of {len(paths)} images can be read: name others")
    return np.stack(crops)


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
