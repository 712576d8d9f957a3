"""One-step probes and ∂V/∂φ, brought together over the seeds of an arm."""

import json
import math

import numpy as np
import pytest

from vssl.reports import collect
from vssl.reports.compare.comparison_page import render_page
from vssl.reports.statistics import mean_correlation

REALISED = {0: [1.0, 2.0, 3.0, 5.0], 1: [1.0, 3.0, 2.0, 4.0], 2: [2.0, 1.0, 4.0, 3.0]}
PREDICTED = [1.0, 2.0, 3.0, 4.0]


def write_lines(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def number(mean, se):
    return {"name": "hue", "group": "all", "end": "high end", "mean": mean, "se": se}


@pytest.fixture
def measured(folder):
    """One-step rows of two arms; a policy's gradient over 4 + 4 meta steps in one of them."""
    for seed, realised in REALISED.items():
        rows = [
            {"step": step, "views": views, "optimizer": optimizer, "task": "depth", "predicted": p, "realised": r}
            for optimizer, sign in (("sgd", 1), ("adamw", -1))
            for views, p, r in (("designed", x, sign * y) for x, y in zip(PREDICTED, realised, strict=True))
            for step in [int(p)]
        ]
        base = [{**row, "views": "base", "realised": 100.0 * row["step"] ** 2} for row in rows]
        write_lines(folder / "vpretraining" / f"seed{seed}" / "one_step.jsonl", base + rows)
        write_lines(folder / "fixed" / f"seed{seed}" / "one_step.jsonl", rows)
        # 4 values 1 ± 1 and 4 values 3 ± 1 (sample standard deviation of either four: 2/√3)
        gradient = [
            {"meta_steps": 4, "autocorrelation": 0.0, "parameters": [number(mean, 1 / math.sqrt(3))]} for mean in (1, 3)
        ]
        policy = [{"step": step, "gradient": g} for step, g in zip((10, 20), gradient, strict=True)]
        write_lines(folder / "vpretraining" / f"seed{seed}" / "policy.jsonl", policy)
    return folder


def test_r_is_pearsons_of_each_seed_and_its_interval_is_over_seeds(measured, layout):
    arms = collect(measured, layout)["arms"]
    for arm in ("fixed", "vpretraining"):
        expected = {seed: np.corrcoef(PREDICTED, realised)[0, 1] for seed, realised in REALISED.items()}
        for seed, r in expected.items():
            assert arms[arm]["runs"][str(seed)]["one_step"]["depth/sgd"]["r"] == pytest.approx(r)
        found = arms[arm]["one_step"]["depth/sgd"]
        z = np.arctanh(list(expected.values()))
        half = 4.302653 * z.std(ddof=1) / math.sqrt(3)
        assert found["r"] == pytest.approx(math.tanh(z.mean()))
        assert (found["low"], found["high"]) == pytest.approx((math.tanh(z.mean() - half), math.tanh(z.mean() + half)))
        assert (found["n"], found["seeds"]) == (3, [0, 1, 2])
        assert found["predicted"] == 2.5 and found["realised"] == pytest.approx(31 / 12)
        assert arms[arm]["one_step"]["depth/adamw"]["r"] == pytest.approx(-found["r"])
    assert arms["fixed_steps"]["one_step"] == {}


def test_signal_to_noise_is_that_of_the_values_themselves(measured, layout):
    arm = collect(measured, layout)["arms"]["vpretraining"]
    (row,) = arm["runs"]["0"]["gradient"]
    values = np.array([0, 0, 2, 2, 2, 2, 4, 4], dtype=float)
    assert (row["mean"], row["std"], row["n"]) == (2.0, pytest.approx(values.std(ddof=1)), 8)
    assert row["snr"] == pytest.approx(2 / values.std(ddof=1))
    assert row["z_independent"] == pytest.approx(row["snr"] * math.sqrt(8)) == row["z"]
    assert arm["gradient"] == {
        "numbers": 1, "meta_steps": 8, "snr": pytest.approx(row["snr"]), "clear": 1.0, "seeds": [0, 1, 2],
    }  # fmt: skip


@pytest.mark.slow
def test_the_page_shows_them(measured, layout):
    results = collect(measured, layout)
    html = render_page(results, measured)
    found = results["arms"]["vpretraining"]["one_step"]["depth/sgd"]
    assert f"r = {found['r']:.2f} [" in html and "depth, AdamW" in html
    assert f"<td>{results['arms']['vpretraining']['gradient']['snr']:.2f}</td>" in html


@pytest.mark.slow
def test_without_them_the_page_says_how_to_ask(folder, layout):
    results = collect(folder, layout)
    assert results["arms"]["fixed"]["gradient"] is None
    assert "No one-step probe was made" in render_page(results, folder)


@pytest.mark.slow
def test_one_seed_has_no_interval(measured, layout):
    assert mean_correlation([0.5]) == (pytest.approx(0.5), None, None)
    results = collect(measured, {**layout, "seeds": [1]})
    assert results["arms"]["fixed"]["one_step"]["depth/sgd"]["low"] is None
    assert "(one seed, no interval)" in render_page(results, measured)
