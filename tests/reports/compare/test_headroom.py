"""The share of the headroom recovered, against numbers worked out by hand and a resampled interval."""

import json

import numpy as np
import pytest

from vssl.reports import collect, format_table
from vssl.reports.compare.comparison_page import render_page
from vssl.reports.compare.headroom import NONE, format_share
from vssl.reports.statistics import paired_difference, ratio_of_means


def test_a_constant_headroom_gives_students_interval_divided_by_it():
    """With every seed's headroom equal to 2 the ratio is the mean gain / 2, and so are the ends."""
    gains = [0.5, 1.0, 1.5]
    half = 4.302653 * 0.5 / np.sqrt(3)  # t(0.975; 2) · s / √n
    assert ratio_of_means(gains, [2.0, 2.0, 2.0]) == pytest.approx((0.5, (1 - half) / 2, (1 + half) / 2), rel=1e-6)


def test_an_arm_that_is_a_fixed_share_of_the_best_recipe_has_no_uncertainty():
    headroom = [1.0, 1.4, 1.2, 0.9]
    assert ratio_of_means([0.3 * h for h in headroom], headroom) == pytest.approx((0.3, 0.3, 0.3))


def test_the_ends_are_the_ratios_that_students_test_just_does_not_reject():
    gains, headroom = np.array([0.4, 1.1, 0.7, 0.2, 0.9]), np.array([1.9, 2.4, 1.6, 2.2, 2.0])
    for end in ratio_of_means(gains, headroom)[1:]:
        rest = gains - end * headroom
        assert paired_difference(dict(enumerate(rest)), dict.fromkeys(range(5), 0.0)).p == pytest.approx(0.05)


def test_a_ratio_to_what_may_be_zero_is_refused():
    with pytest.raises(ValueError, match="cannot be told from zero"):
        ratio_of_means([1.0, 2.0, 3.0], [-0.1, 0.4, 0.2])


def test_the_interval_covers_the_true_share_in_95_of_100_experiments():
    rng, truth, covered = np.random.default_rng(0), 0.4, 0
    for _ in range(2000):
        headroom = rng.normal(3.0, 0.5, 5)
        _, low, high = ratio_of_means(truth * 3.0 + rng.normal(0, 0.5, 5) + 0.3 * (headroom - 3.0), headroom)
        covered += low <= truth <= high
    assert covered / 2000 == pytest.approx(0.95, abs=0.015)


@pytest.fixture
def results(folder, layout):
    """V-Pretraining is the best recipe here; the step-matched arm and random feedback are measured against it."""
    return collect(folder, {**layout, "headroom": "vpretraining"})


def test_every_arm_between_the_ends_has_its_share(results):
    arms = results["arms"]
    assert "headroom" not in arms["fixed"] and "headroom" not in arms["vpretraining"]
    share = arms["random_feedback"]["headroom"]["segmentation/mIoU"]  # gains 0.2, −0.1, −0.2 of 1.1, 0.9, 1.0
    assert share["share"] == pytest.approx(-0.1 / 3.0) and share["low"] < 0 < share["high"]
    assert (share["n"], share["seeds"], share["why"]) == (3, [0, 1, 2], None)
    depth = arms["random_feedback"]["headroom"]["depth/RMSE"]  # lower is better: −0.005 of −0.089 / 3, sign kept
    assert depth["share"] == pytest.approx((0.0 + 0.01 + 0.005) / (-0.03 - 0.029 - 0.03))


@pytest.mark.slow
def test_page_and_table_show_the_shares_of_results_json(results, folder, layout):
    shown = format_share(results["arms"]["random_feedback"]["headroom"]["segmentation/mIoU"])
    assert shown.startswith("−3 % [") and shown in render_page(results, folder)
    of_candidate = collect(folder, {**layout, "candidate": "random_feedback", "headroom": "vpretraining"})
    line = of_candidate["verdict"]["headroom"]
    assert line.startswith(
        "random feedback, share of the headroom to V-Pretraining recovered: segmentation mIoU −3 % ["
    )
    assert line in format_table(of_candidate) and line in render_page(of_candidate, folder)


def test_without_a_headroom_beyond_noise_there_is_no_ratio(folder, layout):
    """Random feedback is not better than the fixed recipe beyond noise, the step-matched arm is worse."""
    for best in ("random_feedback", "fixed_steps"):
        arms = collect(folder, {**layout, "headroom": best})["arms"]
        share = arms["vpretraining"]["headroom"]["segmentation/mIoU"]
        assert share["share"] is None and share["low"] is None and share["why"] == NONE


def test_two_seeds_give_no_ratio(folder, layout):
    results = collect(folder, {**layout, "seeds": [0, 1], "headroom": "vpretraining"})
    share = results["arms"]["random_feedback"]["headroom"]["segmentation/mIoU"]
    assert share["share"] is None and share["why"] == "too few seeds to tell"
    json.dumps(results, allow_nan=False)


@pytest.mark.slow
def test_not_asked_for_it_is_nowhere(folder, layout):
    results = collect(folder, layout)
    assert results["headroom"] is None and results["verdict"]["headroom"] is None
    assert "headroom" not in render_page(results, folder)
