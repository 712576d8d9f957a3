"""The learner: its loss, the teacher's step, and what its state dict holds."""

import pytest
import torch

from vssl.draws import Draws
from vssl.learner.learner import Learner
from vssl.objectives import DINO, SimCLR
from vssl.views.crops import Views

DRAWS = Draws(0, "views")


@pytest.fixture
def dino(make_backbone):
    backbone = make_backbone(aligned_blocks=2)
    return Learner(backbone, DINO(backbone, n_local_crops=0, out_dim=8, hidden_dim=16, bottleneck_dim=8))


@pytest.fixture
def views():
    return Views(torch.rand(2, 3, 3, 32, 32))


def test_calling_it_is_the_objectives_loss_and_state(dino, views):
    loss, state = dino(views, DRAWS)
    assert torch.equal(loss, dino.objective(dino.student, dino.teacher, views, DRAWS))
    assert torch.equal(loss, dino.objective.finish(dino.student, state))


def test_the_teacher_follows_with_the_objectives_momentum(dino, views):
    _, state = dino(views, DRAWS)
    start = dino.teacher.backbone.vit.norm.weight.clone()
    with torch.no_grad():
        dino.student.vit.norm.weight.add_(1.0)
    dino.update_teacher(state, progress=0.0)
    torch.testing.assert_close(dino.teacher.backbone.vit.norm.weight, start + 0.004, rtol=0, atol=1e-6)
    torch.testing.assert_close(dino.objective.center, 0.1 * state["observed.mean"])
    dino.update_teacher(state, progress=1.0)  # momentum 1: the teacher stands still
    torch.testing.assert_close(dino.teacher.backbone.vit.norm.weight, start + 0.004, rtol=0, atol=1e-6)


def test_no_teacher_is_kept_for_an_objective_without_one(make_backbone, views):
    backbone = make_backbone()
    learner = Learner(backbone, SimCLR(backbone, hidden_dim=16, out_dim=8))
    assert learner.teacher is None
    learner.update_teacher(learner(views, DRAWS)[1], progress=0.5)


def test_all_of_it_comes_back_from_the_state_dict(dino, make_backbone, views):
    dino.objective.update(dino(views, DRAWS)[1])
    backbone = make_backbone(aligned_blocks=2)
    other = Learner(backbone, DINO(backbone, n_local_crops=0, out_dim=8, hidden_dim=16, bottleneck_dim=8))
    other.load_state_dict(dino.state_dict())
    assert torch.equal(other(views, DRAWS)[0], dino(views, DRAWS)[0])
