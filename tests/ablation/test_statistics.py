"""Intervals, differences and p values against calculations by hand and against SciPy."""

import numpy as np
import pytest
from scipy import stats

from a2net_gluon.ablation.statistics import estimate, paired_difference

BASELINE = [0.70, 0.72, 0.71, 0.69, 0.73]
VARIANT = [0.72, 0.73, 0.74, 0.70, 0.76]  # differences 0.02, 0.01, 0.03, 0.01, 0.03: mean 0.02


def test_interval_by_hand():
    """Mean 0.71, variance (0.0001 + 0.0001 + 0 + 0.0004 + 0.0004) / 4 = 0.00025, t(0.975, 4) = 2.776445."""
    found = estimate(BASELINE)
    half = 2.776445 * (0.00025 / 5) ** 0.5
    assert (found.seeds, found.mean) == (5, pytest.approx(0.71))
    assert found.interval == pytest.approx((0.71 - half, 0.71 + half), abs=1e-8)


def test_paired_difference_by_hand():
    """The variance of the differences is 4 · 0.0001 / 4, so t = 0.02 / (0.01 / √5) = 2 √5."""
    found = paired_difference(VARIANT, BASELINE)
    assert found.mean == pytest.approx(0.02)
    half = 2.776445 * 0.01 / 5**0.5
    assert found.interval == pytest.approx((0.02 - half, 0.02 + half), abs=1e-8)
    t = 2 * 5**0.5  # the distribution function of t with 4 degrees of freedom in closed form
    upper = 0.5 - t * (t**2 + 6) / (2 * (t**2 + 4) ** 1.5)
    assert found.p == pytest.approx(2 * upper, rel=1e-6)
    assert found.verdict == "higher"
    assert paired_difference(BASELINE, VARIANT).verdict == "lower"


@pytest.mark.parametrize("count", [3, 5, 12])
def test_against_scipy(count):
    rng = np.random.default_rng(count)
    baseline, variant = rng.normal(0.7, 0.01, count), rng.normal(0.7, 0.01, count)
    found = paired_difference(variant, baseline)
    expected = stats.ttest_rel(variant, baseline)
    assert found.p == pytest.approx(expected.pvalue, rel=1e-9)
    assert found.interval == pytest.approx(tuple(expected.confidence_interval(0.95)), rel=1e-9)
    assert found.verdict == "not decided"
    mean, error = np.mean(variant), stats.sem(variant)
    assert estimate(variant).interval == pytest.approx(stats.t.interval(0.95, count - 1, mean, error), rel=1e-12)


def test_a_variant_that_equals_the_baseline():
    found = paired_difference(BASELINE, BASELINE)
    assert (found.mean, found.interval, found.p, found.verdict) == (0, (0, 0), None, "equal")


def test_the_same_difference_for_every_seed_has_no_p_value():
    found = paired_difference([0.5, 0.625, 0.75], [0.25, 0.375, 0.5])
    assert (found.mean, found.interval, found.p, found.verdict) == (0.25, (0.25, 0.25), None, "not decided")


@pytest.mark.parametrize("count", [1, 2])
def test_too_few_seeds(count):
    found = paired_difference(VARIANT[:count], BASELINE[:count])
    assert (found.seeds, found.interval, found.p, found.verdict) == (count, None, None, "too few seeds")
    assert estimate(VARIANT[:count]).interval is None
