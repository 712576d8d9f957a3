import pytest
import torch

from vssl.objectives.base import WEIGHTS, mean_over_images
from vssl.views.gates import likelihood_weights, sample_gates


def test_a_gate_is_open_where_the_number_lies_below_the_probability():
    gates = sample_gates(torch.tensor([[0.0, 0.19, 0.2, 0.999]]), torch.tensor([[0.0, 0.2, 0.2, 1.0]]))
    assert gates.open.tolist() == [[False, True, False, True]]
    assert gates.relaxed is None and gates.step() is None


def test_the_relaxed_gate_is_above_a_half_exactly_where_the_gate_is_open():
    uniform = torch.rand(1000, 3, generator=torch.Generator().manual_seed(0))
    probability = torch.tensor([[0.1, 0.5, 0.9]], requires_grad=True)
    gates = sample_gates(uniform, probability, 0.5)
    assert torch.equal(gates.open, gates.relaxed > 0.5)
    assert gates.open.float().mean(0) == pytest.approx(probability[0].detach(), abs=0.04)
    assert gates.step().abs().max() == 0


def test_the_relaxed_gate_is_the_relaxed_bernoulli_of_torch():
    uniform, p, temperature = torch.tensor([[0.3], [0.8]]), torch.tensor([[0.6]], requires_grad=True), 0.7
    relaxed = sample_gates(uniform, p, temperature).relaxed
    reference = torch.distributions.RelaxedBernoulli(torch.tensor(temperature), probs=p.detach())
    # torch draws with a number that opens when it is large, ours opens when it is small.
    logistic = ((1 - uniform) / uniform).log()
    assert torch.allclose(relaxed, torch.sigmoid((reference.logits + logistic) / temperature), atol=1e-6)


@pytest.mark.parametrize("probability", [0.0, 0.02, 0.5, 0.97, 1.0])
def test_the_gradient_is_positive_and_finite_for_every_probability(probability):
    p = torch.full((1, 1), probability, requires_grad=True)
    gates = sample_gates(torch.rand(5000, 1, generator=torch.Generator().manual_seed(0)), p, 0.5)
    (gradient,) = torch.autograd.grad(gates.relaxed.mean(), p)
    assert 0.2 < float(gradient) < 3  # 1 would be unbiased


@pytest.mark.parametrize("probability", [0.005, 0.015, 0.5, 0.985, 0.995])
def test_the_score_function_has_no_dead_zone_near_never_and_always(probability):
    p = torch.full((1, 1), probability, requires_grad=True)
    uniform = torch.rand(20000, 1, generator=torch.Generator().manual_seed(0))
    costs = (uniform[:, 0] < probability).float()  # an open gate costs 1, so that the mean cost's derivative is 1
    mean_over_images(costs, {WEIGHTS: likelihood_weights(uniform, p)}).backward()
    assert 0.2 < float(p.grad) < 1.1


def test_a_choice_passes_the_gradient_of_the_chosen_and_tells_the_gate_what_a_change_would_do():
    images, changed, weights = (torch.randn(3, 3, 4, 4, requires_grad=True) for _ in range(3))
    p = torch.tensor([[0.5]], requires_grad=True)
    gates = sample_gates(torch.tensor([[0.2], [0.7], [0.4]]), p, 0.5)
    out = gates.choose(images, changed)
    assert torch.equal(out[0], changed[0]) and torch.equal(out[1], images[1]) and torch.equal(out[2], changed[2])
    to_images, to_changed, to_gate = torch.autograd.grad((out * weights).sum(), (images, changed, gates.relaxed))
    opened = torch.tensor([1.0, 0.0, 1.0]).view(3, 1, 1, 1)
    assert torch.equal(to_changed, weights.detach() * opened)
    assert torch.equal(to_images, weights.detach() * (1 - opened))
    expected = ((changed - images) * weights).sum(dim=(1, 2, 3)).detach()
    assert torch.allclose(to_gate[:, 0], expected, atol=1e-5)
