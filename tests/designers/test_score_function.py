"""Gates learn by the score function: right on average, to the sign where the straight-through gradient is wrong."""

import itertools
from functools import partial

import pytest
import torch

from vssl.designers import GlobalPolicy, InstancePolicy
from vssl.draws import Draws
from vssl.objectives.base import WEIGHTS, mean_over_images
from vssl.value import Dot, central_difference, double_backward, forward_difference
from vssl.views.gates import MARGIN, likelihood_weights, sample_gates
from vssl.views.recipes import MultiCrop

X = torch.tensor([[0.3, -1.0], [1.2, 0.4], [-0.7, 0.9]], dtype=torch.float64)
THETA, G_DOWN = torch.tensor([0.8, -0.5], dtype=torch.float64), torch.tensor([1.0, 2.0], dtype=torch.float64)


def changed(x):
    return x.flip(1) ** 2


def tail(state, params):
    return mean_over_images(torch.tanh(state["x"] @ params["theta"]).square(), state)


def value_of(x):
    theta = THETA.clone().requires_grad_()
    (g_pre,) = torch.autograd.grad(tail({"x": x}, {"theta": theta}), theta)
    return float(g_pre @ G_DOWN)


def cases(p):
    """(uniform numbers, probability) of all ways in which three gates can fall."""
    for is_open in itertools.product([True, False], repeat=3):
        uniform = torch.tensor([[0.5 * p if o else 0.5 + 0.5 * p] for o in is_open], dtype=torch.float64)
        yield uniform, p ** sum(is_open) * (1 - p) ** (3 - sum(is_open))


def expected_value(p):
    return sum(share * value_of(torch.where(uniform < p, changed(X), X)) for uniform, share in cases(p))


@pytest.mark.parametrize("estimator", [double_backward, central_difference, forward_difference])
def test_over_all_draws_the_gradient_is_that_of_the_expected_value(estimator):
    p, total = 0.3, 0.0
    for uniform, share in cases(p):
        probability = torch.full((1, 1), p, dtype=torch.float64, requires_grad=True)
        state = {
            "x": sample_gates(uniform, probability).choose(X.view(3, 2, 1, 1), changed(X).view(3, 2, 1, 1)).view(3, 2),
            WEIGHTS: likelihood_weights(uniform, probability),
        }
        assert torch.equal(state[WEIGHTS], torch.ones(3))
        meta = estimator(state, tail, {"theta": THETA}, partial(Dot(), [G_DOWN]))
        meta.backward(state, [probability])
        total += share * float(-probability.grad)
    step = 1e-4
    exact = (expected_value(p + step) - expected_value(p - step)) / (2 * step)
    # The batch's own mean is the baseline: an image in a batch of n is compared with one (n − 1)/n of the way.
    assert total * 3 / 2 == pytest.approx(exact, rel=3e-3)


def test_weights_compare_images_with_the_batch():
    losses = torch.tensor([1.0, 2.0, 6.0])
    weights = torch.ones(3, requires_grad=True)
    loss = mean_over_images(losses, {WEIGHTS: weights})
    assert loss.item() == pytest.approx(3) == float(mean_over_images(losses, {}))
    (gradient,) = torch.autograd.grad(loss, weights)
    torch.testing.assert_close(gradient, (losses - 3) / 3)


def test_the_log_likelihood_has_a_bounded_gradient():
    probability = torch.tensor([[0.0, 1.0, 0.5, 0.01]], requires_grad=True)
    likelihood_weights(torch.tensor([[0.5, 0.5, 0.2, 0.005]]), probability).sum().backward()
    assert probability.grad.isfinite().all() and float(probability.grad[0, 2]) == pytest.approx(2)
    assert float(probability.grad.abs().max()) <= 1 / MARGIN


def test_straight_through_can_have_the_wrong_sign_where_the_score_function_has_not():
    """A loss with a bump between image and changed image: half way is worst, the end is best."""
    x, end = torch.zeros(4000, 1, 1, 1), torch.ones(4000, 1, 1, 1)
    uniform = torch.rand(4000, 1, generator=torch.Generator().manual_seed(0))
    loss = lambda view: ((view - 0.4) ** 2).flatten()  # noqa: E731  0.16 at 0, 0.36 at 1
    gradients = {}
    for kind in ("score", "straight_through"):
        p = torch.tensor([[0.2]], requires_grad=True)
        gates = sample_gates(uniform, p, 0.5 if kind == "straight_through" else None)
        state = {WEIGHTS: likelihood_weights(uniform, p)} if kind == "score" else {}
        mean_over_images(loss(gates.choose(x, end)), state).backward()
        gradients[kind] = float(p.grad)
    assert gradients["score"] == pytest.approx(0.36 - 0.16, rel=0.15)
    assert gradients["straight_through"] < 0  # although opening the gate raises the loss


@pytest.mark.slow
@pytest.mark.parametrize("kind", [GlobalPolicy, InstancePolicy])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_gate_follows_the_value(kind, sign):
    torch.manual_seed(0)
    recipe = MultiCrop(16, jitter=None, blur=None, grayscale=0.4)
    designer = kind(recipe, learn=("grayscale",))
    images = torch.rand(32, 3, 20, 20, generator=torch.Generator().manual_seed(0))
    optimizer = torch.optim.Adam(designer.parameters(), lr=0.1 if kind is GlobalPolicy else 0.01)
    for step in range(25):
        optimizer.zero_grad()
        made = designer(images, Draws(0, "v", step))
        colour = made.views.global_crops.std(dim=2).mean(dim=(0, 2, 3))  # what grayscale takes away
        mean_over_images(-sign * colour, {WEIGHTS: made.weights}).backward()
        optimizer.step()
    probability = designer.as_recipe(images).plans[0].ops[0].probability
    assert probability < 0.25 if sign == 1 else probability > 0.6


def test_views_for_the_learner_carry_no_weights():
    designer = GlobalPolicy(MultiCrop(16))
    images = torch.rand(2, 3, 20, 20)
    with torch.no_grad():
        assert designer(images, Draws(0, "v")).weights is None
    assert GlobalPolicy(MultiCrop(16), gates="fixed")(images, Draws(0, "v")).weights is None
    with pytest.raises(ValueError, match="gates='soft'"):
        GlobalPolicy(MultiCrop(16), gates="soft")


def test_centres_can_stay_while_widths_move():
    designer = GlobalPolicy(MultiCrop(16, jitter={"hue": 0.1}), centres=False)
    with torch.no_grad():
        designer.raw[0].fill_(0.5)
    hue = designer.as_recipe(torch.rand(1, 3, 16, 16)).plans[0].ops[0]
    assert hue.high > 0.15 and hue.low == pytest.approx(-hue.high)


def test_fixed_gates_stay():
    designer = GlobalPolicy(MultiCrop(16), gates="fixed")
    with torch.no_grad():
        designer.raw[0].fill_(0.5)
    plan, base = designer.as_recipe(torch.rand(1, 3, 16, 16)).plans[0], designer.recipe.plans[0]
    assert plan.probabilities == pytest.approx(base.probabilities) and plan.ranges != base.ranges
