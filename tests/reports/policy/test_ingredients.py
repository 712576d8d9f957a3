"""What the policy page says of the parts of the loss."""

import numpy as np
import pytest
from matplotlib.colors import to_rgba
from scipy import stats

from vssl.reports.policy.credit_over_time import credit_over_time, credit_over_time_figure
from vssl.reports.policy.ingredients import (
    bar_colour,
    choices_of,
    credit_figure,
    credits_of,
    ingredient_findings,
    weights_of,
    worth_of,
)
from vssl.reports.policy.sources import source_rows
from vssl.reports.statistics import mean_interval

RNG = np.random.default_rng(0)


def metrics(credit, n=20):
    """A log as a run leaves it: credit at meta steps alone, weights and choices at every logged step."""
    rows = []
    for i in range(n):
        row = {"step": 10 * (i + 1), "weight/hog": 1.0 - 0.5 * i / (n - 1), "weight/pixels": 1.0 + 0.5 * i / (n - 1)}
        rows.append(row | {f"credit/{name}": mean + 0.1 * RNG.normal() for name, mean in credit.items()})
    return rows


def test_credit_is_a_mean_with_an_interval_and_weights_are_shares():
    log = metrics({"hog": -1.0, "pixels": 0.0})
    found = credits_of(log)
    assert found["hog"].excludes_zero and found["hog"].mean == pytest.approx(-1.0, abs=0.1) and found["hog"].n == 20
    assert weights_of(log) == {"hog": (0.5, 0.25), "pixels": (0.5, 0.75)}
    told = " ".join(ingredient_findings(log))
    assert "hog 0.50 → 0.25" in told and "hog (less is worth more)" in told
    assert [bar.get_width() < 0 for bar in credit_figure(log).axes[0].patches] == [True, found["pixels"].mean < 0]


def stretch(step, means, se, n=10, rho=0.0):
    components = {name: {"mean": mean, "se": se} for name, mean in means.items()}
    credit = {"autocorrelation": rho, "components": components}
    return {"step": step, "gradient": {"meta_steps": n, "credit": credit}}


def test_credit_over_time_has_a_bar_with_an_interval_for_each_stretch():
    policy = [
        {"step": 0, "gradient": {"meta_steps": 0}},
        stretch(20, {"hog": 1.0, "pixels": 0.1}, se=0.2),
        stretch(30, {"hog": -1.0, "pixels": 0.2}, se=0.2, n=20, rho=0.5),
        {"step": 40, "gradient": {"meta_steps": 0}},
        stretch(50, {"hog": -2.0, "pixels": 0.3}, se=None, n=1),
    ]
    found = credit_over_time(policy)
    assert [(s.first, s.last, s.mean) for s in found["hog"]] == [(0, 20, 1.0), (20, 30, -1.0), (40, 50, -2.0)]
    first, second, single = (s.interval for s in found["hog"])
    assert single is None and first.high - 1.0 == pytest.approx(0.2 * 2.2622, rel=1e-4)  # t of 9 degrees of freedom
    assert second.high + 1.0 == pytest.approx(0.2 * stats.t.ppf(0.975, df=20 / 3 - 1))
    figure = credit_over_time_figure(policy, metrics({"hog": 0.0, "pixels": 0.0}))
    hog, pixels = figure.axes
    assert [axes.get_title(loc="left") for axes in (hog, pixels)] == ["hog", "pixels"]
    assert hog.get_title(loc="right") == "share 0.50 → 0.25"
    assert [(bar.get_x() + bar.get_width() / 2, bar.get_height()) for bar in hog.patches] == [
        (10, 1),
        (25, -1),
        (45, -2),
    ]
    more, less, unclear = (to_rgba(bar_colour(interval)) for interval in (first, second, None))
    assert [bar.get_facecolor() for bar in hog.patches] == [more, less, unclear] and len({more, less, unclear}) == 3
    assert [bar.get_facecolor() for bar in pixels.patches] == [unclear] * 3
    assert credit_over_time_figure(policy[:1], []) is credit_over_time_figure([], []) is None


def test_a_long_interval_does_not_hide_the_bars():
    policy = [
        {"step": 0, "gradient": {"meta_steps": 0}},
        stretch(10, {"a": 1.0}, 0.1),
        stretch(20, {"a": 1.0}, 9.0, n=2),
    ]
    low, high = credit_over_time_figure(policy, []).axes[0].get_ylim()
    assert -5 < low < -4 < 4 < high < 5


def test_the_option_that_was_taken_is_named():
    rows = [{"step": i, "choice/hog": float(i > 5), "choice/pixels": 0.0} for i in range(10)]
    assert choices_of(rows) == {"hog": 0.4, "pixels": 0.0}
    assert "Option taken at the end: hog." in ingredient_findings(rows)[0]
    assert "none, the recipe's" in ingredient_findings(rows[:3])[0]
    rows[5] |= {"value/hog": 0.02, "value/pixels": -0.01, "value/best": 0.02}
    assert worth_of(rows) == {"hog": 0.02, "pixels": -0.01} and worth_of(rows[:3]) == {}


def test_other_designers_have_none():
    rows = [{"step": 1, "loss": 2.0}]
    assert ingredient_findings(rows) == [] and credit_figure(rows) is None


def test_the_interval_of_a_series_in_time_is_wider_than_that_of_independent_values():
    noise = RNG.normal(size=400)
    walk = np.array([noise[:1].sum(), *noise[1:]])
    for i in range(1, len(walk)):
        walk[i] = 0.8 * walk[i - 1] + noise[i]
    shuffled = RNG.permutation(walk)
    wide, narrow = mean_interval(walk), mean_interval(shuffled)
    assert (wide.high - wide.low) / (narrow.high - narrow.low) == pytest.approx(3.0, rel=0.25)  # √(1.8 / 0.2)
    with pytest.raises(ValueError, match="two or more"):
        mean_interval([1.0])


def test_intervals_hold_the_mean_as_often_as_they_say():
    held = [(found := mean_interval(RNG.normal(size=20))).low <= 0 <= found.high for _ in range(1000)]
    assert np.mean(held) == pytest.approx(0.95, abs=0.025)


@pytest.mark.parametrize("beside", [(), ({"group": "global", "name": "hue", "end": "centre"},)])
def test_what_more_of_a_source_was_worth_is_told_alone_and_beside_other_numbers(beside):
    numbers = [*beside, *({"group": "sources", "name": name, "end": "weight"} for name in ("streets", "web"))]
    parameters = [{**number, "mean": 0.5, "se": 0.1} for number in numbers]
    gradient = {"meta_steps": 10, "autocorrelation": 0.0, "parameters": parameters}
    policy = [
        {"step": 0, "sources": {"streets": 0.7, "web": 0.3}},
        {"step": 9, "sources": {"streets": 0.6, "web": 0.4}, "gradient": gradient},
    ]
    for row, (name, first, last) in zip(
        source_rows(policy), [("streets", "0.700", "0.600"), ("web", "0.300", "0.400")], strict=True
    ):
        assert row[:3] == [name, first, last] and row[3].startswith("+5.00e-01 [+3.0"), row
