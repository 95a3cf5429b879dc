"""Means over seeds, their intervals, and paired differences: Student's t.

The runs of one seed have the same order of data and the same first weights, so that a variant is compared with the
baseline seed by seed. A p value is that of one comparison; it is not corrected for the number of variants in a table.
"""

from __future__ import annotations

import dataclasses
import typing

import numpy as np

__all__ = ["CONFIDENCE", "FEWEST", "SIGNIFICANCE", "Difference", "Estimate", "estimate", "paired_difference"]

CONFIDENCE = 0.95  # of intervals
SIGNIFICANCE = 0.05  # a difference with a smaller p value is called one
FEWEST = 3  # seeds for an interval or a p value

Interval = typing.Tuple[float, float]


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A mean over seeds.

    Attributes
    ----------
    seeds : int
    mean : float
    interval : tuple of float or None
        Of the mean, 95 % by Student's t; None with fewer than three seeds.
    """

    seeds: int
    mean: float
    interval: Interval | None


@dataclasses.dataclass(frozen=True)
class Difference(Estimate):
    """The mean over seeds of the difference from the baseline.

    Attributes
    ----------
    p : float or None
        Two-sided p value of the paired t test; None where there is none: with too few seeds, or if all seeds have the
        same difference.
    verdict : str
        "higher" or "lower" if p is below 0.05, "not decided" otherwise; "equal" if every seed has the baseline's
        result; "too few seeds" below three.
    """

    p: float | None
    verdict: str


def estimate(values: typing.Sequence[float]) -> Estimate:
    """Estimate the mean of what `values` are a sample of, one for each seed."""
    from scipy import stats  # takes long to import, and the processes that train do not need it

    count, mean = len(values), float(np.mean(values))
    if count < FEWEST:
        return Estimate(count, mean, None)
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, count - 1) * stats.sem(values))
    return Estimate(count, mean, (mean - half, mean + half))


def paired_difference(values: typing.Sequence[float], baseline: typing.Sequence[float]) -> Difference:
    """Estimate the difference of a variant from the baseline: the results of the same seeds, in the same order."""
    from scipy import stats

    differences = np.subtract(values, baseline).tolist()
    found = estimate(differences)
    if found.interval is None:
        return Difference(found.seeds, found.mean, None, None, "too few seeds")
    if np.ptp(differences) == 0:  # the t test divides by the spread
        return Difference(found.seeds, found.mean, found.interval, None, "not decided" if found.mean else "equal")
    p = float(stats.ttest_1samp(differences, 0).pvalue)
    claim = "higher" if found.mean > 0 else "lower"
    return Difference(found.seeds, found.mean, found.interval, p, claim if p < SIGNIFICANCE else "not decided")
