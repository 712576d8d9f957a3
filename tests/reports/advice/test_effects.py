"""Effects and their intervals: against a library, a closed form, and what a simulation holds."""

import numpy as np
import pytest
from scipy import stats

from vssl.reports.advice.effects import effects

COLUMNS = [(0, "less"), (0, "more"), (1, "more")]


def measured(draws=12, groups=8, of_labels=1.0, seed=0, shift=0.0):
    """Values that are linear in the labels: each draw's own part, each group's own part, and noise of both."""
    rng = np.random.default_rng(seed)
    own = rng.normal(size=(draws, 4, 1)) + of_labels * rng.normal(size=(1, 4, groups))
    own = own + 0.3 * of_labels * rng.normal(size=(draws, 4, groups))
    own[:, 2] += shift
    whole = own.mean(2, keepdims=True)
    without = (own.sum(2, keepdims=True) - own) / (groups - 1)
    return np.concatenate([whole, without], axis=2), own


def test_without_uncertain_labels_the_interval_is_that_of_a_paired_test():
    values, _ = measured(of_labels=0.0)
    found = effects(values, values[..., :1], COLUMNS, count=2)
    for effect, more, less in ((found[0], 2, 1), (found[1], 3, 0)):
        test = stats.ttest_rel(values[:, more, 0], values[:, less, 0])
        low, high = test.confidence_interval(1 - 0.05 / 2)
        assert (effect.low, effect.high) == pytest.approx((low, high))
        assert effect.t == pytest.approx(test.statistic) and effect.of_labels == pytest.approx(0, abs=1e-12)


def test_the_part_of_the_labels_is_the_variance_of_a_mean_over_groups():
    values, own = measured(draws=2)
    values[1] = values[0]  # draws that agree: only the labels are uncertain
    effect = effects(values, values[..., :1], COLUMNS, count=2)[0]
    difference = own[0, 2] - own[0, 1]
    error = difference.std(ddof=1) / len(difference) ** 0.5
    assert effect.of_labels == 1 and effect.t == pytest.approx(difference.mean() / error)
    assert effect.high - effect.mean == pytest.approx(error * stats.t.isf(0.05 / 4, len(difference) - 1))


def test_sides_tasks_and_verdicts():
    values, _ = measured(shift=20.0)
    found = effects(values, values[..., [0, 3]], COLUMNS, count=2)
    assert found[0].verdict == "more" and found[1].verdict == "unknown"
    assert found[0].more - found[0].less == pytest.approx(found[0].mean) and found[1].less is None
    assert found[0].tasks == pytest.approx(values[..., [0, 3]][:, 2].mean(0) - values[..., [0, 3]][:, 1].mean(0))
    less, _ = measured(shift=-20.0)
    assert effects(less, less[..., :1], COLUMNS, count=2)[0].verdict == "less"


def test_what_the_recipe_does_as_well_as_the_better_side_stays():
    values, _ = measured(shift=20.0)
    assert not any(effect.stays for effect in effects(values, values[..., :1], COLUMNS, count=2))
    harmful = values.copy()
    harmful[:, 1:] -= 40.0  # less of it costs more than more of it, and both cost
    found = effects(harmful, harmful[..., :1], COLUMNS, count=2)
    assert (found[0].verdict, found[0].stays) == ("more", True)
    assert (found[1].verdict, found[1].stays) == ("less", True)  # less of it is the recipe itself


def test_intervals_hold_together_at_their_level():
    """Draws and labels both vary; in 400 worlds without any effect both operations are left alone in 95 % or more."""
    false = 0
    for seed in range(400):
        values, _ = measured(seed=seed)
        false += any(e.verdict != "unknown" for e in effects(values, values[..., :1], COLUMNS, count=2))
    assert false / 400 <= 0.05


def test_nothing_varies_where_a_change_changes_nothing():
    values, _ = measured()
    values[:, 3] = values[:, 0]
    effect = effects(values, values[..., :1], COLUMNS, count=2)[1]
    assert (effect.mean, effect.low, effect.high, effect.verdict) == (0, 0, 0, "unknown")


def test_one_draw_or_one_group_is_refused():
    values, _ = measured()
    for few in (values[:1], values[:, :, :2]):
        with pytest.raises(ValueError, match="two or more of both"):
            effects(few, few[..., :1], COLUMNS, count=2)
