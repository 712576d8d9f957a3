"""The anchor's pull is the gradient of its penalty, in both forms, and its place moves as an exponential mean."""

import pytest
import torch
from torch import nn

from vssl.learner.anchor import Anchor


@pytest.fixture
def student():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2)).double()
    model[1].bias.requires_grad_(False)
    return model


def moved(student):
    with torch.no_grad():
        for p in student.parameters():
            p.add_(torch.randn_like(p))
    return student


def test_the_gradient_is_that_of_the_penalty(student):
    start = [p.detach().clone() for p in student.parameters() if p.requires_grad]
    anchor = Anchor(student, weight=0.3, decoupled=False)
    moved(student)(torch.ones(1, 3).double()).sum().backward()
    trained = [p for p in student.parameters() if p.requires_grad]
    before = [p.grad.clone() for p in trained]
    penalty = 0.15 * sum((p - place).square().sum() for p, place in zip(trained, start, strict=True))
    expected = torch.autograd.grad(penalty, trained)
    anchor.add_gradient(student)
    for p, own, added in zip(trained, before, expected, strict=True):
        torch.testing.assert_close(p.grad, own + added, rtol=1e-12, atol=0)
    values = [p.detach().clone() for p in trained]
    anchor.pull(student, torch.optim.SGD(trained, lr=0.1))
    assert all(torch.equal(p, value) for p, value in zip(trained, values, strict=True))


def test_the_decoupled_step_is_the_rate_times_that_gradient(student):
    anchor = Anchor(student, weight=0.3)
    start = {n: p.detach().clone() for n, p in student.named_parameters()}
    moved(student)
    before = {n: p.detach().clone() for n, p in student.named_parameters()}
    groups = [{"params": list(student[0].parameters()), "lr": 0.1}, {"params": [student[1].weight], "lr": 0.0}]
    anchor.pull(student, torch.optim.SGD(groups, lr=0.1))
    for name, p in student.named_parameters():
        rate = 0.1 if name.startswith("0.") else 0.0  # a frozen weight and one of rate 0 stay
        torch.testing.assert_close(p.detach(), before[name] - rate * 0.3 * (before[name] - start[name]))


def test_the_place_stays_or_follows(student):
    still, following = Anchor(student, weight=1.0), Anchor(student, weight=1.0, momentum=0.9)
    start = student[0].weight.detach().clone()
    beside = following.copied()
    moved(student)
    for anchor in (still, following):
        anchor.follow(student)
    assert torch.equal(still.places["0.weight"], start) and torch.equal(beside.places["0.weight"], start)
    torch.testing.assert_close(following.places["0.weight"], 0.9 * start + 0.1 * student[0].weight.detach())


@pytest.mark.parametrize("settings", [{"weight": -1.0}, {"weight": float("nan")}, {"weight": 1.0, "momentum": 1.1}])
def test_bad_settings_are_refused(student, settings):
    with pytest.raises(ValueError, match=r"anchor\."):
        Anchor(student, **settings)
