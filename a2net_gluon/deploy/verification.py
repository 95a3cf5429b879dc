"""Whether a form of an export is close enough to the live network."""

from __future__ import annotations

import pathlib

import numpy as np

from a2net_gluon.deploy.live import LiveNetwork
from a2net_gluon.deploy.proof import BATCH, Forward, Proof, in_batches, prove
from a2net_gluon.errors import FailureError

__all__ = ["AGREEMENT", "ROUNDINGS", "TOLERANCE", "least_agreement", "verify"]

TOLERANCE = 1e-4  # relative to the largest logit; the same operators in the same order differ by much less
ROUNDINGS = 2  # a difference of two computations in float32: each may be this far from the exact one
AGREEMENT = 0.99  # share of all images or clips of this kind that must get the same class from the 8-bit form


def verify(
    live: LiveNetwork,
    prefix: pathlib.Path,
    form: str,
    forward: Forward,
    sample: tuple[np.ndarray, np.ndarray],
    tolerance: float | None,
) -> Proof:
    """Compare a loaded form with the live network on `sample`, inputs and logits.

    Raises
    ------
    FailureError
        If logits differ by more than `tolerance`; None: `TOLERANCE`, or `ROUNDINGS` times the rounding of the network
        itself if that is more. For "int8", if the samples with the same class are too few for `AGREEMENT`.
    """
    inputs, expected = sample
    logits = in_batches(forward, inputs)
    proof = prove(logits, expected)
    if form == "int8":
        _check_agreement(prefix, proof, live.description.noun)
        return proof
    if tolerance is None and not proof.difference <= TOLERANCE:
        farthest = np.argsort(-np.abs(logits - expected).max(axis=1))[: BATCH // 2]  # in float64, the memory of a batch
        proof = proof._replace(rounding=live.rounding(inputs[farthest], expected[farthest]))
    limit = tolerance if tolerance is not None else max(TOLERANCE, ROUNDINGS * (proof.rounding or 0))
    if not proof.difference <= limit:
        own = "" if proof.rounding is None else f": float32 itself differs by {proof.rounding:.2g} from float64"
        raise FailureError(
            f"{prefix}: loaded as {form}, the export differs by {proof.difference:.2g} (relative), more than "
            f"{limit:.2g}{own}; --tolerance sets another limit"
        )
    return proof


def _check_agreement(prefix: pathlib.Path, proof: Proof, noun: str) -> None:
    if not proof.agreement >= least_agreement(proof.images):
        raise FailureError(
            f"{prefix}: as int8 only {100 * proof.agreement:.2f} % of {proof.images} {noun} get the same class, "
            f"too few for {100 * AGREEMENT:.0f} % of all: calibrate with more {noun}, of the kind it was trained on"
        )


def least_agreement(images: int) -> float:
    """Return the agreement that 95 % of all samples of `images` images reach if it is `AGREEMENT` on the population."""
    from scipy.stats import binom  # takes long to import, and only the 8-bit form needs it

    return (images - binom.ppf(0.95, images, 1 - AGREEMENT)) / images
