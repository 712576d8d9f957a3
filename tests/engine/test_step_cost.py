import itertools

import pytest

from vssl.engine.budget import CLOCKS
from vssl.engine.step_cost import FIRST_META, LEARNER, META, META_WITH_G_DOWN, SteppedRun, compare_cost, steps_within
from vssl.engine.training import build_runner


def test_the_kinds_of_a_schedule(designed_config, tmp_path):
    """Meta steps at 1, 3, 5, 7 (burn-in 1, r = 2, frozen from 8), g_down anew at every second of them."""
    designed_config.value.update(burn_in=1, period=2, g_down_every=2, freeze_after=8)
    run = SteppedRun(build_runner(designed_config, tmp_path / "run", seed=0), "processor", threads=1)
    first = list(itertools.islice(run.kinds(), 10))
    expected = {1: FIRST_META, 3: META, 5: META_WITH_G_DOWN, 7: META}
    assert first == [expected.get(step, LEARNER) for step in range(10)]
    assert run.known == [LEARNER, FIRST_META, META, META_WITH_G_DOWN]
    assert run.count(9) == {LEARNER: 5, FIRST_META: 1, META: 2, META_WITH_G_DOWN: 1}


@pytest.mark.parametrize(
    ("target", "steps"),
    [(0.1, 1), (10.0, 4), (11.4, 5), (11.6, 6), (100.0, 94)],  # plain, plain, meta (5), meta (3), then plain ones
)
def test_steps_are_those_whose_cost_is_nearest_to_the_target(target, steps):
    kinds = itertools.chain([LEARNER, LEARNER, FIRST_META, META], itertools.repeat(LEARNER))
    assert steps_within(kinds, {LEARNER: 1.0, FIRST_META: 5.0, META: 3.0}, target) == steps


@pytest.mark.slow
def test_a_run_beside_itself_costs_what_it_costs(fixed_config, monkeypatch):
    """Real steps, on a clock that ticks once whenever it is read: equal steps take equal time."""
    monkeypatch.setitem(CLOCKS, "processor", itertools.count().__next__)
    measured = compare_cost(fixed_config, fixed_config, baseline_steps=100, clock="processor")
    (kind,) = measured["kinds"].values()
    assert len(kind["samples"]) == 32 and kind["count"] == measured["steps"]
    assert measured["steps"] == round(100 / kind["relative_cost"])
    assert kind["relative_cost"] == 1.0 and measured["cost"] == 1.0
    assert measured["baseline_seconds"] == 100


def test_costs_are_ratios_to_the_neighbouring_reference_steps(fixed_config, designed_config, monkeypatch):
    """A machine that gets ten times slower on the way: the counts are those of the costs alone."""
    costs = {LEARNER: 2.0, FIRST_META: 12.0, META: 6.0, META_WITH_G_DOWN: 8.0}
    slowness = itertools.count(1)

    def take(run, kind):
        slow = 1 + 9 * min(next(slowness), 80) / 80
        return slow * (1.0 if run._loop.designer_update is None else costs[kind])

    monkeypatch.setattr(SteppedRun, "take", take)
    designed_config.value.update(burn_in=2, g_down_every=2, freeze_after=12)  # meta steps at 2, 4, 6, 8, 10
    measured = compare_cost(designed_config, fixed_config, baseline_steps=200)
    for kind, cost in costs.items():
        assert measured["kinds"][kind]["relative_cost"] == pytest.approx(cost, rel=0.02)
    # 12 + 2·6 + 2·8 = 40 for the five meta steps, (200 − 40) / 2 = 80 plain ones
    assert abs(measured["steps"] - 85) <= 1 and measured["cost"] == pytest.approx(1.0, abs=0.01)
    again = compare_cost(designed_config, fixed_config, baseline_steps=200, steps=170)
    assert again["steps"] == 170 and again["cost"] == pytest.approx((40 + 2 * 165) / 200, rel=0.02)


def test_a_baseline_with_a_designer_pays_for_its_own_meta_steps(fixed_config, designed_config, monkeypatch):
    costs = {LEARNER: 1.0, FIRST_META: 30.0, META: 3.0, META_WITH_G_DOWN: 4.0}
    monkeypatch.setattr(SteppedRun, "take", lambda run, kind: 0.25 * costs[kind])
    designed_config.value.update(burn_in=2, g_down_every=2, freeze_after=12)
    measured = compare_cost(fixed_config, designed_config, baseline_steps=50)
    assert measured["steps"] == 45 + 30 + 2 * 3 + 2 * 4 and measured["baseline_seconds"] == 0.25 * 89
