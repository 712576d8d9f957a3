"""PaKA against lightly's loss."""

import pytest
import torch
from lightly.loss import PatchKernelAlignmentLoss

from vssl.draws import Draws
from vssl.objectives import PaKA
from vssl.objectives.paka import centred_kernel_alignment


def test_one_minus_cka_is_lightlys_loss():
    student, teacher = torch.randn(2, 4, 9, 16).unbind(0)
    expected = PatchKernelAlignmentLoss()(student, teacher)
    assert (1 - centred_kernel_alignment(student, teacher)).mean().item() == pytest.approx(expected.item(), abs=1e-6)


def test_cka_knows_neither_scale_nor_rotation_nor_shift():
    features = torch.randn(4, 9, 16).double()
    rotation, _ = torch.linalg.qr(torch.randn(16, 16).double())
    same = 3.0 * features @ rotation + 5.0
    torch.testing.assert_close(centred_kernel_alignment(features, same), torch.ones(4).double())
    assert (centred_kernel_alignment(features, torch.randn(4, 9, 12).double()) < 0.9).all()


def test_a_region_without_structure_has_a_finite_gradient():
    student = torch.ones(1, 9, 4).double().requires_grad_()
    (gradient,) = torch.autograd.grad(centred_kernel_alignment(student, torch.randn(1, 9, 4).double()).sum(), student)
    assert torch.isfinite(gradient).all()


def test_the_teacher_sees_crop_0_and_the_student_the_others(vit, make_views, make_teacher):
    objective = PaKA(vit, n_local_crops=2, cells=3).double()
    views, teacher = make_views(objective), make_teacher(vit, objective)
    crops, local = views.global_crops.requires_grad_(), views.local_crops.requires_grad_()
    state = objective.begin(vit, teacher, views, Draws(0, "views"))
    assert state["global.targets"].shape == (1, 4, 9, 32) and state["local.targets"].shape == (2, 4, 9, 32)
    of_global, of_local = torch.autograd.grad(objective.finish(vit, state), [crops, local])
    assert of_global[0].abs().max() == 0 and (of_global[1].flatten(1).abs().amax(1) > 0).all()
    assert (of_local.flatten(2).abs().amax(2) > 0).all()
    assert torch.allclose(state["global.weights"].sum(0) + state["local.weights"].sum(0), torch.ones(4).double())


def test_local_crops_that_were_promised_must_be_there(vit, make_views, make_teacher):
    objective = PaKA(vit, n_local_crops=2, cells=3).double()
    views = make_views(objective)
    state = objective.begin(vit, make_teacher(vit, objective), views, Draws(0, "views"))
    with pytest.raises(ValueError, match=r"PaKA expects n_local_crops=2, but the learner was trained on views without"):
        objective.update({name: entry for name, entry in state.items() if not name.startswith("local.")})
    with pytest.raises(ValueError, match="PaKA has n_local_crops=3, the views have 2"):
        PaKA(vit, n_local_crops=3).double()(vit, make_teacher(vit, objective), views, Draws(0, "views"))
