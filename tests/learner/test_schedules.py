"""Schedules at their ends, their middle and beyond."""

import math

import pytest
from lightly.utils.scheduler import cosine_schedule

from vssl.learner.schedules import cosine, linear, warmup, warmup_cosine


def test_linear_and_cosine_pass_their_ends_and_their_middle():
    assert [linear(2.0, 4.0, p) for p in (0, 0.25, 1)] == pytest.approx([2.0, 2.5, 4.0])
    assert [cosine(2.0, 4.0, p) for p in (0, 0.5, 1)] == pytest.approx([2.0, 3.0, 4.0])
    assert cosine(1.0, 0.0, 0.25) == pytest.approx((1 + math.cos(math.pi / 4)) / 2)


def test_cosine_is_lightlys_over_steps():
    for step in range(11):
        assert cosine(0.996, 1.0, step / 10) == pytest.approx(cosine_schedule(step, 11, 0.996, 1.0), abs=1e-12)


def test_progress_beyond_the_budget_stays_at_the_end():
    ends = [cosine(1.0, 0.1, 1.2), linear(1.0, 0.1, 1.2), warmup_cosine(1.2, 0.1, 0.1)]
    assert ends == pytest.approx([0.1, 0.1, 0.1])


def test_warmup_is_linear_in_any_unit():
    assert [warmup(step, 1000) for step in (0, 250, 1000, 5000)] == [0.0, 0.25, 1.0, 1.0]
    assert warmup(0.0, 0.0) == 1.0


def test_warmup_cosine_rises_then_falls():
    factors = [warmup_cosine(p, warmup_share=0.2, final_ratio=0.1) for p in (0, 0.1, 0.2, 0.6, 1)]
    assert factors == pytest.approx([0.0, 0.5, 1.0, 0.55, 0.1])
    assert warmup_cosine(0.0, warmup_share=0.0, final_ratio=0.1) == 1.0
    assert warmup_cosine(0.2 - 1e-9, 0.2, 0.1) == pytest.approx(1.0, abs=1e-6)  # no jump


@pytest.mark.parametrize("progress", [-0.1, float("nan")])
def test_progress_that_is_no_share_is_refused(progress):
    with pytest.raises(ValueError, match="must be a share of the budget"):
        cosine(1.0, 0.0, progress)


def test_a_warmup_that_leaves_nothing_is_refused():
    with pytest.raises(ValueError, match=r"share 1.0 must be in \[0, 1\)"):
        warmup_cosine(0.5, 1.0, 0.1)
    with pytest.raises(ValueError, match="length -1 is negative"):
        warmup(0.5, -1)
