"""Proof that a form of an exported network is equal to the live one: the same images through both."""

import typing

import numpy as np

from a2net_gluon.data.decoding import DecodeError
from a2net_gluon.data.digits import load_digits
from a2net_gluon.data.folder import read_image
from a2net_gluon.errors import UsageError

__all__ = ["BATCH", "Proof", "crops_of", "in_batches", "prove"]

BATCH = 16  # images at a time
DIGITS = 32  # embedded images, where the user names none


class Proof(typing.NamedTuple):
    """How close the answers of two forms of a network are.

    Attributes
    ----------
    images : int
        Or clips.
    difference : float
        Largest difference of a logit, relative to the largest logit.
    agreement : float
        Share of images that get the same most probable class, from 0 to 1.
    """

    images: int
    difference: float
    agreement: float


def prove(logits, expected):
    """Compare `logits` (N, classes) of a copy with those `expected` of the live network."""
    largest = max(np.abs(expected).max(), np.finfo(np.float32).tiny)
    return Proof(
        len(expected),
        float(np.abs(logits - expected).max() / largest),
        float((logits.argmax(1) == expected.argmax(1)).mean()),
    )


def crops_of(paths, preprocessing):
    """The centre crops of image files, uint8 (N, size, size, 3); of embedded handwritten digits without files.

    Raises
    ------
    UsageError
        If a file is no image.
    """
    images = (_read(path) for path in paths) if paths else load_digits()[0][:DIGITS]
    return np.stack([preprocessing.centre_crop(image) for image in images])


def _read(path):
    try:
        return read_image(path)
    except DecodeError as error:
        raise UsageError(f"{path}: {error}; leave it out") from None


def in_batches(forward, inputs):
    """The answers of `forward` to `inputs`, a few at a time."""
    return np.concatenate([forward(inputs[start : start + BATCH]) for start in range(0, len(inputs), BATCH)])
