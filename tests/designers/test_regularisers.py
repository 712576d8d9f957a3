import math

import pytest
import torch

from vssl.designers import GlobalPolicy
from vssl.designers.regularisers import PolicyPenalty, divergence, entropy, recognisability
from vssl.draws import Draws
from vssl.views.ops.photometric import HUE
from vssl.views.recipes import MultiCrop
from vssl.views.view_plan import Distribution, GatedOp, ViewPlan

PLAN = ViewPlan(8, (GatedOp(HUE, -0.1, 0.1, 0.5),))


def test_penalties_are_off_by_default():
    made = GlobalPolicy(MultiCrop(16))(torch.rand(2, 3, 20, 20), Draws(0, "v"))
    assert float(made.penalty) == 0


def test_divergence_is_zero_at_the_recipe_and_its_closed_form_elsewhere():
    base = PLAN.distribution()
    assert float(divergence(PLAN, base)) == pytest.approx(0, abs=1e-6)
    low, high, probability = (d.clone() for d in base)
    low[0, 4], high[0, 4], probability[0, 1] = -0.3, 0.2, 0.8
    a, b = -0.2, 0.1  # hue's range is one turn
    kl = 0.8 * math.log(0.8 / 0.5) + 0.2 * math.log(0.2 / 0.5)
    expected = (a * a + a * b + b * b) / 3 + kl
    assert float(divergence(PLAN, Distribution(low, high, probability))) == pytest.approx(expected, rel=1e-4)


def test_the_wasserstein_distance_is_that_of_sorted_samples():
    base = PLAN.distribution()
    low, high, probability = (d.clone() for d in base)
    low[0, 4], high[0, 4] = -0.02, 0.4
    u = (torch.arange(10_000) + 0.5) / 10_000
    samples = (-0.02 + 0.42 * u) - (-0.1 + 0.2 * u)
    expected = float(samples.square().mean())
    assert float(divergence(PLAN, Distribution(low, high, probability))) == pytest.approx(expected, rel=1e-3)


def test_entropy_is_that_of_bernoulli_and_uniform_distributions():
    bernoulli = -2 * 0.5 * math.log(0.5)
    # area, log_ratio and place are drawn too; sizes relative to their whole ranges
    widths = [0.68 / 0.99, 2 * math.log(4 / 3) / (2 * math.log(4)), 1, 1, 0.2]
    expected = sum(math.log(w) for w in widths) + 2 * bernoulli
    assert float(entropy(PLAN, PLAN.distribution())) == pytest.approx(expected, rel=1e-4)


def test_entropy_keeps_a_policy_from_collapsing_and_divergence_pulls_it_home():
    for settings, wider in (({"entropy": 1.0}, True), ({"divergence": 1.0}, False)):
        designer = GlobalPolicy(MultiCrop(16, n_global=1, jitter={"hue": 0.1}), learn=("hue",), **settings)
        with torch.no_grad():
            designer.raw[0].fill_(0.5)
        started = designer.as_recipe(torch.rand(1, 3, 8, 8)).plans[0].ops[0]
        optimizer = torch.optim.Adam(designer.parameters(), lr=0.05)
        for step in range(20):
            optimizer.zero_grad()
            designer(torch.rand(1, 3, 20, 20), Draws(0, "v", step)).penalty.backward()
            optimizer.step()
        ended = designer.as_recipe(torch.rand(1, 3, 8, 8)).plans[0].ops[0]
        if wider:
            assert ended.high - ended.low > started.high - started.low
        else:
            assert abs(ended.high - 0.1) < abs(started.high - 0.1)


def test_recognisability_is_the_cross_entropy_with_the_base_views_answer():
    base, designed = torch.randn(5, 7), torch.randn(5, 7, requires_grad=True)
    value = recognisability(base, designed)
    assert float(value.detach()) == pytest.approx(
        float(torch.nn.functional.cross_entropy(designed.detach(), base.softmax(1)))
    )
    value.backward()
    assert torch.allclose(designed.grad, (designed.softmax(1) - base.softmax(1)).detach() / 5, atol=1e-6)


def test_negative_weights_are_refused():
    with pytest.raises(ValueError, match="divergence=-1"):
        PolicyPenalty(divergence=-1)
