"""iBOT against lightly's losses: class and patch terms, centres over steps, shared and separate heads, masks."""

from dataclasses import replace

import pytest
import torch
from lightly.loss import DINOLoss, IBOTPatchLoss

from vssl.draws import Draws
from vssl.learner import TimmBackbone
from vssl.objectives import DINO, IBOT

SMALL = {"out_dim": 24, "hidden_dim": 32, "bottleneck_dim": 16, "warmup_share": 0.0}
DRAWS = {"seed": 0, "stream": "views"}
FP32_TEMPERATURE = 1e-6
"""lightly keeps its temperature in fp32, whatever the logits are; ours are fp64 in these tests."""


@pytest.fixture
def make_ibot(backbone):
    def make(**settings):
        ibot = IBOT(backbone, **{"n_local_crops": 3, **SMALL, **settings}).double()
        torch.nn.init.normal_(ibot.mask_token)
        return ibot

    return make


def lightlys_terms(ibot, backbone, teacher, views, state, class_loss, patch_loss):
    """Both terms from whole forward passes; masks are taken from the state."""
    rows, grid = views.global_crops.flatten(0, 1), (4, 4)
    student = backbone.tail(backbone.trunk(rows, mask=state["mask"], mask_token=ibot.mask_token))
    seen = teacher.backbone(rows)
    student_class = [ibot.head(crop[:, 0]) for crop in student.chunk(2)]
    student_class += [ibot.head(backbone(crop)[:, 0]) for crop in views.local_crops]
    teacher_class = [teacher.heads["head"](crop[:, 0]) for crop in seen.chunk(2)]
    patch_head = teacher.heads["patch_head" if "patch_head" in teacher.heads else "head"]
    of_teacher = patch_head(backbone.patch_tokens(seen)[state["mask"]])
    of_student = ibot.patch_head(backbone.patch_tokens(student)[state["mask"]])
    patch = patch_loss(of_teacher, of_student, state["mask"].unflatten(1, grid))
    return class_loss(teacher_class, student_class), patch


@pytest.mark.parametrize("shared_head", [True, False])
def test_both_terms_and_both_centres_are_lightlys_over_three_steps(
    make_ibot, backbone, make_views, make_teacher, shared_head
):
    ibot = make_ibot(shared_head=shared_head, patch_out_dim=20, teacher_temperature=0.05, warmup_temperature=0.05)
    class_loss = DINOLoss(24, teacher_temp=0.05, center_momentum=0.9).double()
    patch_loss = IBOTPatchLoss(24 if shared_head else 20, teacher_temp=0.07, center_momentum=0.9).double()
    teacher = make_teacher(backbone, ibot)
    for step in range(3):
        views = make_views(ibot)
        state = ibot.begin(backbone, teacher, views, Draws(**DRAWS, step=step))
        loss = ibot.finish(backbone, state)
        terms = lightlys_terms(ibot, backbone, teacher, views, state, class_loss, patch_loss)
        ibot.update(state)
        assert loss.item() == pytest.approx(sum(terms).item(), rel=FP32_TEMPERATURE)
        torch.testing.assert_close(ibot.patch_center, patch_loss.center.value.flatten(), rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(ibot.center, class_loss.center.flatten(), rtol=1e-9, atol=1e-12)
    assert ibot.patch_center.abs().max() > 1e-3 and (ibot.own_patch_head is None) == shared_head


def test_the_gradients_are_those_of_lightlys_losses(make_ibot, backbone, make_views, make_teacher):
    ibot = make_ibot(shared_head=False, patch_out_dim=20)
    views, teacher = make_views(ibot), make_teacher(backbone, ibot)
    state = ibot.begin(backbone, teacher, views, Draws(**DRAWS))
    losses = DINOLoss(24, teacher_temp=0.07).double(), IBOTPatchLoss(20, teacher_temp=0.07).double()
    expected = sum(lightlys_terms(ibot, backbone, teacher, views, state, *losses))
    parameters = [p for p in [*backbone.parameters(), *ibot.parameters()] if p.requires_grad]
    got, wanted = (torch.autograd.grad(loss, parameters) for loss in (ibot.finish(backbone, state), expected))
    for ours, theirs in zip(got, wanted, strict=True):  # the mask token's too: it is among the parameters
        assert (ours - theirs).norm() < 10 * FP32_TEMPERATURE * theirs.norm()


def test_without_masks_it_is_dino(make_ibot, backbone, make_views, make_teacher):
    ibot = make_ibot(mask_probability=0.0, teacher_temperature=0.05)
    dino = DINO(backbone, n_local_crops=3, teacher_temperature=0.05, **SMALL).double()
    dino.load_state_dict({k: v for k, v in ibot.state_dict().items() if k in dino.state_dict()})
    views, teacher = make_views(ibot), make_teacher(backbone, ibot)
    expected = dino(backbone, teacher, views, Draws(**DRAWS))
    state = ibot.begin(backbone, teacher, views, Draws(**DRAWS))
    assert ibot.finish(backbone, state).item() == pytest.approx(expected.item(), rel=1e-12)
    ibot.update(state)
    assert torch.equal(ibot.patch_center, torch.zeros(24).double())


def test_the_patch_loss_asks_for_hidden_patches_alone_and_its_weight_scales_it(
    make_ibot, backbone, make_views, make_teacher
):
    ibot = make_ibot(patch_weight=0.0)
    views, teacher = make_views(ibot), make_teacher(backbone, ibot)
    state = ibot.begin(backbone, teacher, views, Draws(**DRAWS))
    class_loss = ibot.finish(backbone, state)
    ibot.patch_weight = 1.0
    patch_loss = ibot.finish(backbone, state) - class_loss
    ibot.patch_weight = 3.0
    assert (ibot.finish(backbone, state) - class_loss).item() == pytest.approx(3 * patch_loss.item(), rel=1e-9)
    assert state["patch_targets"].shape[0] == state["mask"].sum() == len(state["hidden"])
    share = state["mask"].float().mean(1)
    assert (share > 0).sum() == 4 and 0 < share.max() <= 0.5  # half of the 2 × 4 crops


def test_what_a_hidden_patch_shows_reaches_the_learner_through_the_teacher_alone(
    make_ibot, backbone, make_views, make_teacher
):
    ibot = make_ibot(mask_probability=1.0)
    views, teacher = make_views(ibot), make_teacher(backbone, ibot)
    crops = views.global_crops.requires_grad_()
    state = ibot.begin(backbone, teacher, views, Draws(**DRAWS))
    (gradient,) = torch.autograd.grad(ibot.finish(backbone, state), crops)
    shown = gradient.flatten(0, 1).abs().amax(1).unfold(1, 8, 8).unfold(2, 8, 8).amax((3, 4)).flatten(1) > 0
    assert torch.equal(shown, ~state["mask"])


def test_the_gradient_through_the_teacher_is_exact(make_ibot, backbone, make_views, make_teacher):
    ibot = make_ibot(flow_through_teacher=True, teacher_temperature=0.1, patch_temperature=0.1)
    views, teacher = make_views(ibot), make_teacher(backbone, ibot)
    crops = views.global_crops.requires_grad_()
    state = ibot.begin(backbone, teacher, views, Draws(**DRAWS))
    assert state["patch_targets"].requires_grad and ibot.split(state)[1] is None
    (gradient,) = torch.autograd.grad(ibot.finish(backbone, state), crops)
    direction, step = torch.randn_like(crops), 1e-5
    with torch.no_grad():
        plus, minus = (
            ibot(backbone, teacher, replace(views, global_crops=crops + sign * step * direction), Draws(**DRAWS))
            for sign in (+1, -1)
        )
    assert (gradient * direction).sum().item() == pytest.approx(((plus - minus) / (2 * step)).item(), rel=1e-6)


def test_both_temperatures_warm_up_together(backbone):
    small = SMALL | {"warmup_share": 0.2}
    ibot = IBOT(backbone, teacher_temperature=0.06, patch_temperature=0.08, warmup_temperature=0.04, **small)
    seen = []
    for progress in (0.0, 0.1, 0.2, 1.0):
        ibot.on_step(0, progress)
        seen.append((ibot.teacher_temperature, ibot.patch_temperature))
    assert seen == [pytest.approx(pair) for pair in [(0.04, 0.04), (0.05, 0.06), (0.06, 0.08), (0.06, 0.08)]]


def test_both_last_layers_stay_for_their_first_steps(make_ibot, backbone, make_views, make_teacher):
    ibot = make_ibot(shared_head=False, freeze_last_layer_steps=1)
    views, teacher = make_views(ibot), make_teacher(backbone, ibot)
    for step, frozen in ((0, True), (1, False)):
        ibot.on_step(step, 0.0)
        ibot.zero_grad()
        ibot(backbone, teacher, views, Draws(**DRAWS)).backward()
        ibot.before_optimizer_step()
        for head in (ibot.head, ibot.patch_head):
            assert (head.last.weight.grad is None) == frozen and head.mlp[0].weight.grad is not None


def test_random_masks_hide_single_patches(make_ibot, backbone, make_views, make_teacher):
    ibot = make_ibot(mask="random", mask_ratio=(0.25, 0.25), mask_probability=1.0)
    state = ibot.begin(backbone, make_teacher(backbone, ibot), make_views(ibot), Draws(**DRAWS))
    assert torch.equal(state["mask"].sum(1), torch.full((8,), 4))


def test_bad_settings_are_refused(vit):
    without = TimmBackbone(
        "vit_base_patch16_siglip_224", img_size=32, embed_dim=16, depth=2, num_heads=2, aligned_blocks=1
    )
    with pytest.raises(ValueError, match="IBOT needs a class token"):
        IBOT(without)
    with pytest.raises(ValueError, match="IBOT patch_temperature=0"):
        IBOT(vit, patch_temperature=0, **SMALL)
    with pytest.raises(ValueError, match="IBOT mask='blocks'; give 'block' or 'random'"):
        IBOT(vit, mask="blocks", **SMALL)
    with pytest.raises(ValueError, match="mask ratio"):
        IBOT(vit, mask_ratio=(0.5, 1.5), **SMALL)
