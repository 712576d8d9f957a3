import time

import pytest

from vssl.engine.budget import CLOCKS, Budget


def test_a_budget_in_steps():
    budget = Budget(steps=10)
    assert [budget.progress(step) for step in (0, 5, 10, 11)] == [0.0, 0.5, 1.0, 1.0]


def test_a_budget_in_seconds_counts_training_time_only(monkeypatch):
    now = 5.0
    monkeypatch.setitem(CLOCKS, "elapsed", lambda: now)
    budget = Budget(seconds=100.0)
    budget.start()
    now += 2.0
    with budget.not_counted():
        now += 30.0
        assert budget.elapsed == 2.0
    now += 1.0
    budget.stop()
    now += 30.0
    assert budget.elapsed == 3.0 and budget.progress(step=10**6) == pytest.approx(0.03)


def test_a_resumed_clock_goes_on():
    budget = Budget(seconds=10.0)
    budget.load_state_dict({"elapsed": 9.0})
    assert budget.progress(0) == pytest.approx(0.9)


def test_steps_of_a_baseline_are_for_comparisons():
    with pytest.raises(ValueError, match=r"baseline_steps=200 needs a baseline.*tools/compare.py"):
        Budget(baseline_steps=200)


@pytest.mark.parametrize("settings", [{}, {"steps": 1, "seconds": 1.0}, {"steps": 0}, {"seconds": -1.0}])
def test_an_impossible_budget_is_refused(settings):
    with pytest.raises(ValueError, match="budget"):
        Budget(**settings)


def test_the_processors_clock_does_not_count_waiting():
    elapsed, processor = Budget(seconds=1), Budget(seconds=1, clock="processor")
    for budget in (elapsed, processor):
        budget.start()
    time.sleep(0.2)
    assert elapsed.progress(0) >= 0.2 and processor.progress(0) < 0.1
    with pytest.raises(ValueError, match="clock='sun'"):
        Budget(seconds=1, clock="sun")
