"""Sinkhorn-Knopp against the doubly stochastic matrix it converges to and against lightly's; the running centre."""

import pytest
import torch
from lightly.loss.swav_loss import sinkhorn as lightly_swav

from vssl.objectives.centring import move_centre, sinkhorn_knopp


def test_many_iterations_use_every_prototype_equally_and_keep_what_makes_a_scaling():
    logits = torch.randn(12, 5).double()
    targets = sinkhorn_knopp(logits, temperature=0.5, iterations=200)
    torch.testing.assert_close(targets.sum(1), torch.ones(12).double())
    torch.testing.assert_close(targets.sum(0), torch.full((5,), 12 / 5).double())
    # A scaling of rows and columns leaves cross-ratios as they were.
    ratios = targets.log() - logits / 0.5
    torch.testing.assert_close(ratios - ratios[:1] - ratios[:, :1] + ratios[0, 0], torch.zeros(12, 5).double())


@pytest.mark.parametrize("iterations", [1, 3])
def test_it_is_lightlys_of_swav_with_as_many_iterations(iterations):
    logits = torch.randn(12, 5).double() / 10
    expected = lightly_swav(logits, iterations=iterations, epsilon=0.05, gather_distributed=False)
    torch.testing.assert_close(sinkhorn_knopp(logits, 0.05, iterations), expected)


def test_rows_are_distributions_after_any_number_of_iterations_at_the_lowest_temperatures():
    """Cosines at temperature 0.01: exp(100) is beyond fp32, and one prototype is near no row at all."""
    logits = torch.randn(40, 30).clamp(-1, 1)
    logits[:, 0] = -1.0
    logits[:, 1] = 1.0
    targets = sinkhorn_knopp(logits, temperature=0.01)
    assert targets.isfinite().all()
    torch.testing.assert_close(targets.sum(1), torch.ones(40))


def test_the_gradient_is_exact():
    logits = torch.randn(6, 4).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: sinkhorn_knopp(x, 0.3), logits)


def test_no_rows_give_no_targets():
    assert sinkhorn_knopp(torch.zeros(0, 5), 0.1).shape == (0, 5)


def test_a_centre_moves_by_its_momentum_towards_the_mean_and_stays_without_rows():
    center, rows = torch.randn(4), torch.randn(6, 4)
    expected = 0.9 * center + 0.1 * rows.mean(0)
    move_centre(center, rows.sum(0), torch.tensor(6), momentum=0.9)
    torch.testing.assert_close(center, expected)
    move_centre(center, torch.zeros(4), torch.tensor(0), momentum=0.9)
    torch.testing.assert_close(center, expected)
