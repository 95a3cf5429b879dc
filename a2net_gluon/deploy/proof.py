"""Proof that a form of an exported network equals the live network: both answer the same images."""

from __future__ import annotations

from typing import Callable, NamedTuple

import numpy as np

__all__ = ["BATCH", "Forward", "Proof", "in_batches", "prove"]

BATCH = 16  # images at a time

Forward = Callable[[np.ndarray], np.ndarray]  # from the graph's input to logits (N, classes)


class Proof(NamedTuple):
    """Distance between the answers of a form and those of the live network.

    Attributes
    ----------
    images : int
        Number of images, or of clips.
    difference : float
        Largest difference of a logit, relative to the largest logit.
    agreement : float
        Fraction of images with the same most probable class, from 0 to 1.
    rounding : float or None
        Distance of the live network from itself in double precision, in the terms of `difference`; measured only where
        that is large.
    """

    images: int
    difference: float
    agreement: float
    rounding: float | None = None


def prove(logits: np.ndarray, expected: np.ndarray) -> Proof:
    """Compare `logits` (N, classes) of a form with those `expected` of the live network."""
    largest = max(np.abs(expected).max(), np.finfo(np.float32).tiny)
    return Proof(
        len(expected),
        float(np.abs(logits - expected).max() / largest),
        float((logits.argmax(1) == expected.argmax(1)).mean()),
    )


def in_batches(forward: Forward, inputs: np.ndarray) -> np.ndarray:
    """Return the answers of `forward` to `inputs`, computed `BATCH` at a time."""
    return np.concatenate([forward(inputs[start : start + BATCH]) for start in range(0, len(inputs), BATCH)])
