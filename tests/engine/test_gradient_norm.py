"""A learner step's gradient: its norm is told, and it is clipped where a config says so and nowhere else."""

import copy

import pytest
import torch

from vssl.designers.base import Construction
from vssl.draws import Draws
from vssl.engine.learner_step import LearnerStep
from vssl.learner import TimmBackbone
from vssl.learner.learner import Learner
from vssl.objectives import SimCLR
from vssl.views.crops import Views

SIZE = {"img_size": 16, "patch_size": 4, "embed_dim": 16, "depth": 2, "num_heads": 2}


@pytest.fixture
def learner():
    torch.manual_seed(0)
    backbone = TimmBackbone("vit_tiny_patch16_224", aligned_blocks=1, **SIZE)
    return Learner(backbone, SimCLR(backbone, hidden_dim=32, out_dim=8))


def gradients_of_a_step(learner, clip_grad):
    """(the norm that the step tells, the gradients that it leaves, those of the loss)."""
    views = Views(torch.rand(2, 4, 3, 16, 16), None, torch.tensor([0.0, 0.0, 1.0, 1.0]).expand(2, 4, 4), None)
    plain = copy.deepcopy(learner)
    plain(views, Draws(0, "objective"))[0].backward()
    optimizer = torch.optim.SGD([{"params": list(learner.parameters()), "peak_lr": 0.1, "part": "backbone"}], lr=0.1)
    step = LearnerStep(learner, optimizer, lambda progress: 1.0, clip_grad=clip_grad)
    taken = step(Construction(views, penalty=torch.zeros(())), Draws(0, "objective"), progress=0.5)
    left, expected = ([p.grad for p in of.parameters() if p.grad is not None] for of in (learner, plain))
    return taken.gradient_norm, left, expected


@pytest.mark.parametrize("clip_grad", [None, 1e6])
def test_a_gradient_that_need_not_be_clipped_stays_as_it_is_to_the_last_bit(learner, clip_grad):
    norm, left, expected = gradients_of_a_step(learner, clip_grad)
    assert all(torch.equal(a, b) for a, b in zip(left, expected, strict=True))
    assert norm.item() == pytest.approx(torch.cat([g.flatten() for g in expected]).norm().item(), rel=1e-6)


def test_a_gradient_is_clipped_as_torch_does_it(learner):
    norm, left, expected = gradients_of_a_step(learner, 0.01)
    assert norm > 0.01  # the norm before
    parameters = [torch.nn.Parameter(g.clone()) for g in expected]
    for p, g in zip(parameters, expected, strict=True):
        p.grad = g
    assert torch.nn.utils.clip_grad_norm_(parameters, 0.01) == norm
    assert all(torch.equal(a, p.grad) for a, p in zip(left, parameters, strict=True))
