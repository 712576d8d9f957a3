import warnings

import numpy as np
import pytest
from scipy import stats

from vssl.reports.statistics import (
    adjust_p_values,
    correlation,
    mean_correlation,
    moving_mean,
    paired_difference,
    summarise,
)


def test_summary_against_numpy():
    summary = summarise({2: 3.0, 0: 1.0, 1: 5.0})
    assert (summary.mean, summary.n, summary.seeds) == (3.0, 3, [0, 1, 2])
    assert summary.std == pytest.approx(np.std([1, 5, 3], ddof=1), abs=1e-15)


def test_one_seed_has_no_spread():
    assert summarise({0: 1.0}).std is None
    difference = paired_difference({0: 1.5}, {0: 1.0})
    assert (difference.mean, difference.low, difference.high, difference.p) == (0.5, None, None, None)


@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
def test_paired_interval_and_p_against_scipy(confidence):
    rng = np.random.default_rng(0)
    ours, theirs = rng.normal(1.0, 2.0, 7), rng.normal(0.0, 2.0, 7)
    result = paired_difference(dict(enumerate(ours)), dict(enumerate(theirs)), confidence)
    reference = stats.ttest_rel(ours, theirs)
    interval = reference.confidence_interval(confidence)
    assert result.p == pytest.approx(reference.pvalue, rel=1e-12)
    assert (result.low, result.high) == pytest.approx((interval.low, interval.high), rel=1e-12)


def test_three_seeds_by_hand():
    # differences 0, 1, 2: mean 1, s = 1; with two degrees of freedom t(p) = (2p − 1) / √(2p(1 − p)), at 0.975: 4.3027
    result = paired_difference({0: 1.0, 1: 3.0, 2: 5.0}, {0: 1.0, 1: 2.0, 2: 3.0})
    half_width = 0.95 / (2 * 0.975 * 0.025) ** 0.5 / 3**0.5
    # SciPy up to 1.15 (1.15 is the last for Python 3.10) gives this quantile to 2e-10
    assert (result.mean, result.low, result.high) == pytest.approx((1.0, 1 - half_width, 1 + half_width), abs=1e-9)


def test_only_shared_seeds_are_paired():
    result = paired_difference({0: 1.0, 1: 2.0, 5: 100.0}, {0: 0.0, 1: 0.0, 7: -100.0})
    assert (result.seeds, result.n, result.mean, result.per_seed) == ([0, 1], 2, 1.5, [1.0, 2.0])


def test_a_seed_effect_that_hits_both_arms_cancels():
    effect = {0: 10.0, 1: -30.0, 2: 70.0}
    ours, theirs = {0: 1.0, 1: 1.2, 2: 0.9}, {0: 0.5, 1: 0.5, 2: 0.6}
    plain = paired_difference(ours, theirs)
    shifted = paired_difference({s: ours[s] + effect[s] for s in ours}, {s: theirs[s] + effect[s] for s in theirs})
    assert (shifted.low, shifted.high) == pytest.approx((plain.low, plain.high), abs=1e-10)


def test_identical_arms_differ_by_exactly_zero():
    result = paired_difference({0: 1.0, 1: 2.0}, {0: 1.0, 1: 2.0})
    assert (result.low, result.high, result.p) == (0.0, 0.0, 1.0)


@pytest.mark.parametrize(
    ("ours", "theirs", "mean", "p"),
    [
        ([61.3, 62.7], [61.3, 62.7], 0.0, 1.0),
        ([0.1 + 0.2, 0.7, 60.1], [0.3, 0.7, 60.1], 0.0, 1.0),  # 0.1 + 0.2 is 0.30000000000000004
        ([1.1, 1.2, 1.3], [1.0, 1.1, 1.2], 0.1, 0.0),  # their differences differ in the last digits
        ([0.0, 0.0], [0.0, 0.0], 0.0, 1.0),
    ],
)
def test_differences_that_are_equal_but_for_rounding_have_no_spread_and_no_warning(ours, theirs, mean, p):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = paired_difference(dict(enumerate(ours)), dict(enumerate(theirs)))
    assert (found.low, found.high, found.p) == (found.mean, found.mean, p)
    assert found.mean == pytest.approx(mean) if mean else found.mean == 0.0 == max(found.per_seed)


def test_a_spread_far_above_rounding_is_one():
    found = paired_difference({0: 60.0, 1: 60.0 + 1e-9, 2: 60.0}, {0: 60.0, 1: 60.0, 2: 60.0})
    assert found.low < 0 < found.high and found.p == pytest.approx(stats.ttest_1samp([0, 1, 0], 0).pvalue, rel=1e-4)


def test_equal_correlations_and_sides_that_do_not_vary():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert mean_correlation([0.5, 0.5, 0.5]) == pytest.approx((0.5, 0.5, 0.5))
        assert correlation([1.0, 2.0, 3.0, 4.0], [0.3, 0.1 + 0.2, 0.3, 0.3]) is None


@pytest.mark.slow
def test_the_interval_covers_the_truth_95_times_in_100():
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(2000):
        result = paired_difference(dict(enumerate(rng.normal(0.3, 1.0, 3))), dict.fromkeys(range(3), 0.0))
        hits += result.low <= 0.3 <= result.high
    assert 0.935 <= hits / 2000 <= 0.965  # three standard errors


def test_holm_and_bonferroni_by_hand():
    p = [0.04, 0.01, 0.03]
    # Holm: 3·0.01 = 0.03; 2·0.03 = 0.06; 1·0.04, raised to 0.06 by the step before it
    assert adjust_p_values(p, "holm") == pytest.approx([0.06, 0.03, 0.06])
    assert adjust_p_values(p, "bonferroni") == pytest.approx([0.12, 0.03, 0.09])
    assert adjust_p_values([0.6, 0.7], "holm") == pytest.approx([1.0, 1.0])
    assert adjust_p_values([]) == []


def test_holm_is_never_weaker_than_bonferroni_and_keeps_the_order():
    p = np.random.default_rng(2).random(20)
    holm, bonferroni = np.array(adjust_p_values(p)), np.array(adjust_p_values(p, "bonferroni"))
    assert (holm <= bonferroni).all() and (holm >= p).all()
    assert (np.diff(holm[np.argsort(p)]) >= 0).all()


def test_errors_say_what_was_given():
    with pytest.raises(ValueError, match=r"no shared seed to pair over: \[0\] against \[1\]"):
        paired_difference({0: 1.0}, {1: 1.0})
    with pytest.raises(ValueError, match="finite, got"):
        summarise({0: float("nan")})
    with pytest.raises(ValueError, match="confidence is 95"):
        paired_difference({0: 1.0}, {0: 1.0}, confidence=95)
    with pytest.raises(ValueError, match="unknown correction 'sidak'"):
        adjust_p_values([0.1], "sidak")
    with pytest.raises(ValueError, match="must lie in"):
        adjust_p_values([1.2])


def test_a_moving_mean_leaves_a_constant_and_a_line_alone():
    np.testing.assert_allclose(moving_mean(np.ones(50)), 1)
    np.testing.assert_allclose(moving_mean(np.arange(50.0))[3:-3], np.arange(50.0)[3:-3])
