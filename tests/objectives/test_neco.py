"""NeCo: soft sorting, its references, its loss. (Against the authors' code: docs/objectives.md.)"""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from vssl.draws import Draws
from vssl.objectives import NeCo
from vssl.objectives.sorting import soft_permutation
from vssl.views.crops import Views

SMALL = {"n_local_crops": 0, "cells": 3, "references": 6, "hidden_dim": 32, "out_dim": 16}


@pytest.mark.parametrize("n", [2, 5, 8, 49])
def test_hard_comparisons_sort(n):
    values = torch.randn(20, n).double()
    expected = F.one_hot(values.argsort(1), n).transpose(1, 2).double()
    torch.testing.assert_close(soft_permutation(values, 1e9), expected, rtol=0, atol=1e-4)


def test_two_numbers_are_sorted_by_the_formula():
    a, b = 0.3, 0.7
    keep = 0.5 + torch.atan(torch.tensor(5 * (b - a))).item() / torch.pi
    for values, first in (((a, b), keep), ((b, a), 1 - keep)):
        permutation = soft_permutation(torch.tensor([values]).double(), 5.0)[0]
        expected = torch.tensor([[first, 1 - first], [1 - first, first]]).double()
        torch.testing.assert_close(permutation, expected, rtol=0, atol=1e-7)


@pytest.mark.slow
def test_a_soft_permutation_is_doubly_stochastic_and_has_two_derivatives():
    values = torch.randn(2, 6).double().requires_grad_()
    permutation = soft_permutation(values, 3.0)
    for axis in (1, 2):
        torch.testing.assert_close(permutation.sum(axis), torch.ones(2, 6).double())
    assert torch.autograd.gradcheck(lambda v: soft_permutation(v, 3.0).square(), values)
    assert torch.autograd.gradgradcheck(lambda v: soft_permutation(v, 3.0).square(), values)


def test_references_are_cells_of_the_whole_batch_each_taken_once(vit):
    objective = NeCo(vit, n_local_crops=0, cells=3)
    targets = torch.arange(4 * 9).view(1, 4, 9, 1).double() + 1
    references = objective.prepare(targets.expand(2, -1, -1, -1), Draws(0, "views"))["references"]
    for of_pair in references:
        assert torch.equal(of_pair.flatten().sort().values, targets.flatten())
        assert any(len({int(r - 1) // 9 for r in of_image.flatten()}) > 1 for of_image in of_pair)
    assert not torch.equal(*references)


def test_the_loss_is_least_where_the_student_orders_as_the_teacher(vit):
    """Gibbs: the cross-entropy to another permutation is above the entropy."""
    objective = NeCo(vit, student_steepness=100.0, **SMALL)
    targets = torch.randn(2, 3, 9, 16).double()
    state = {f"global.{name}": entry for name, entry in objective.prepare(targets, Draws(0, "views")).items()}
    own = objective.pair_losses(targets, targets, state, "global")
    order = state["global.order"]
    torch.testing.assert_close(own, -(order * order.log()).sum(-1).mean(dim=(2, 3)))
    for scale in (0.01, 0.1, 1.0):
        assert (
            objective.pair_losses(targets + scale * torch.randn_like(targets), targets, state, "global") > own
        ).all()


def test_pairs_that_hardly_overlap_are_left_out(vit, make_teacher):
    objective = NeCo(vit, **SMALL).double()
    teacher, crops = make_teacher(vit, objective), torch.rand(2, 3, 3, 32, 32).double()
    boxes = torch.tensor([0.0, 0.0, 1.0, 1.0]).double().expand(2, 3, 4).clone()
    boxes[0, 1], boxes[1, 1] = torch.tensor([0.0, 0.0, 0.4, 0.4]), torch.tensor([0.35, 0.35, 1.0, 1.0])
    views = Views(crops, global_boxes=boxes)
    state = objective.begin(vit, teacher, views, Draws(0, "views"))
    assert state["global.weights"].tolist() == [[0.5, 0.0, 0.5], [0.5, 0.0, 0.5]]
    each = objective.losses(vit, state)["global"]
    assert objective.finish(vit, state).item() == pytest.approx(each[:, [0, 2]].mean().item() * 2 / 3)


def test_views_that_do_not_say_where_they_lie_are_refused(vit, make_views, make_teacher):
    objective = NeCo(vit, **SMALL).double()
    views = make_views(objective)
    with pytest.raises(ValueError, match=r"these views do not say where they lie .*no rotation"):
        objective(vit, make_teacher(vit, objective), replace(views, global_boxes=None), Draws(0, "views"))


def test_the_gradient_reaches_where_a_crop_lies(vit, make_views, make_teacher):
    """A policy that learns the crop's window moves the boxes: features of both sides are taken elsewhere."""
    objective = NeCo(vit, student_steepness=5.0, teacher_steepness=5.0, flow_through_teacher=True, **SMALL).double()
    views, teacher = make_views(objective), make_teacher(vit, objective)
    boxes = views.global_boxes.clone().requires_grad_()
    loss = objective(vit, teacher, replace(views, global_boxes=boxes), Draws(0, "views"))
    (gradient,) = torch.autograd.grad(loss, boxes)
    direction = torch.randn_like(boxes)

    def moved(step):
        elsewhere = replace(views, global_boxes=views.global_boxes + step * direction)
        return objective(vit, teacher, elsewhere, Draws(0, "views")).detach()

    expected = (moved(1e-6) - moved(-1e-6)) / 2e-6
    assert (gradient * direction).sum().item() == pytest.approx(expected.item(), rel=1e-5)


def test_bad_settings_are_refused(vit):
    with pytest.raises(ValueError, match="references=10 must be 2 to cells²=9"):
        NeCo(vit, cells=3, references=10)
    with pytest.raises(ValueError, match=r"student_steepness=0 .*must be positive"):
        NeCo(vit, cells=3, student_steepness=0)
    with pytest.raises(ValueError, match=r"teacher_crops=\(2,\) must be some of \(0, 1\)"):
        NeCo(vit, teacher_crops=(2,))
