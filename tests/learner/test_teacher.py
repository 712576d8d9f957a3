"""The EMA teacher against its closed form; what it copies and what it never does."""

import pytest
import torch
from torch import nn

from vssl.learner.teacher import EMATeacher, ema_update


def test_ema_follows_its_closed_form():
    """A fixed student: after n updates θ̄ = mⁿ·θ̄₀ + (1 − mⁿ)·θ."""
    student, teacher = nn.Linear(4, 3).double(), nn.Linear(4, 3).double()
    start = teacher.weight.detach().clone()
    for _ in range(5):
        ema_update(teacher, student, momentum=0.9)
    expected = 0.9**5 * start + (1 - 0.9**5) * student.weight
    torch.testing.assert_close(teacher.weight, expected.detach(), rtol=1e-12, atol=1e-14)


def test_momentum_one_keeps_the_teacher_and_zero_copies_the_student():
    student, teacher = nn.Linear(4, 3), nn.Linear(4, 3)
    start = teacher.weight.detach().clone()
    ema_update(teacher, student, momentum=1.0)
    assert torch.equal(teacher.weight, start)
    ema_update(teacher, student, momentum=0.0)
    assert torch.equal(teacher.weight, student.weight)


def test_buffers_are_copied():
    student, teacher = nn.BatchNorm1d(3), nn.BatchNorm1d(3)
    student(torch.randn(8, 3) + 2)
    ema_update(teacher, student, momentum=0.9)
    assert torch.equal(teacher.running_mean, student.running_mean)
    assert teacher.num_batches_tracked.item() == 1


def test_the_teacher_starts_equal_and_is_apart(make_backbone, kind, images):
    backbone, head = make_backbone(kind).eval(), nn.Linear(32, 4)
    teacher = EMATeacher(backbone, {"head": head})
    assert torch.equal(teacher.backbone(images), backbone(images))
    with torch.no_grad():
        for parameter in [*backbone.parameters(), *head.parameters()]:
            parameter.add_(1.0)
    teacher.update(backbone, {"head": head}, momentum=0.75)
    for ours, theirs in [(teacher.backbone, backbone), (teacher.heads["head"], head)]:
        for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
            torch.testing.assert_close(b - a, torch.full_like(a, 0.75), rtol=0, atol=1e-6)


def test_the_teacher_has_no_gradient_and_stays_in_eval_mode(make_backbone):
    backbone = make_backbone(drop_path_rate=0.5).train()
    teacher = EMATeacher(backbone, {"head": nn.Dropout(0.5)}).train()
    assert not any(module.training for module in teacher.modules())
    assert not any(parameter.requires_grad for parameter in teacher.parameters())
    nn.Sequential(teacher).train()
    assert not any(module.training for module in teacher.modules())
    assert backbone.training


def test_what_does_not_match_is_refused(make_backbone):
    with pytest.raises(ValueError, match=r"momentum 1.5 must be in \[0, 1\]"):
        ema_update(nn.Linear(2, 2), nn.Linear(2, 2), momentum=1.5)
    with pytest.raises(ValueError, match=r"differ in parameters, e.g. \['bias'\]"):
        ema_update(nn.Linear(2, 2), nn.Linear(2, 2, bias=False), momentum=0.9)
    backbone = make_backbone()
    with pytest.raises(ValueError, match=r"mirrors \['head'\], but was given \[\]"):
        EMATeacher(backbone, {"head": nn.Linear(2, 2)}).update(backbone, {}, momentum=0.9)
