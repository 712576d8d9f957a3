"""DINO against lightly: loss, head, centre; the parts of the multi-crop sum; schedules and the freeze."""

from dataclasses import replace

import pytest
import torch
from lightly.loss import DINOLoss
from lightly.models.modules import DINOProjectionHead

from vssl.draws import Draws
from vssl.learner import TimmBackbone
from vssl.objectives import DINO, IBOT, DINOv3
from vssl.objectives.dino import _pair_sum
from vssl.objectives.dino_head import DINOHead, through_head

SMALL = {"out_dim": 24, "hidden_dim": 32, "bottleneck_dim": 16}
DRAWS = Draws(0, "views")
FP32_TEMPERATURE = 1e-7
"""lightly keeps its temperature in fp32, whatever the logits are; ours are fp64 in these tests."""


@pytest.fixture
def dino(backbone):
    return DINO(backbone, n_local_crops=3, **SMALL).double()


def class_logits(backbone, head, crops):
    return [head(backbone(crop)[:, 0]) for crop in crops]


def test_loss_and_centre_are_lightlys_over_three_steps(dino, backbone, make_views, make_teacher):
    """The centre that a step leaves behind is used by the next one."""
    reference = DINOLoss(24, teacher_temp=0.04, student_temp=0.1, center_momentum=0.9).double()
    teacher = make_teacher(backbone, dino)
    for _ in range(3):
        views = make_views(dino)
        state = dino.begin(backbone, teacher, views, DRAWS)
        loss = dino.finish(backbone, state)
        dino.update(state)
        student_out = class_logits(backbone, dino.head, [*views.global_crops, *views.local_crops])
        teacher_out = class_logits(teacher.backbone, teacher.heads["head"], views.global_crops)
        assert loss.item() == pytest.approx(reference(teacher_out, student_out).item(), rel=FP32_TEMPERATURE)
        torch.testing.assert_close(dino.center, reference.center.flatten(), rtol=1e-9, atol=1e-12)
    assert dino.center.abs().max() > 1e-3


@pytest.mark.filterwarnings("ignore:.*weight_norm.*deprecated:FutureWarning")
def test_the_head_is_lightlys_with_a_normalised_last_layer():
    ours = DINOHead(20, out_dim=24, hidden_dim=32, bottleneck_dim=16)
    theirs = DINOProjectionHead(20, 32, 16, 24, norm_last_layer=True)
    for mine, layer in zip(ours.mlp[::2], theirs.layers[::2], strict=True):
        layer.load_state_dict(mine.state_dict())
    theirs.last_layer.weight_v.data.copy_(ours.last.weight.data)
    x = torch.randn(5, 20)
    torch.testing.assert_close(ours(x), theirs(x), rtol=1e-5, atol=1e-6)


def test_one_pass_through_the_head_gives_each_kind_of_rows_its_logits():
    """Few and many rows, which the head treats apart, and none; divided by the temperature."""
    head = DINOHead(20, **SMALL).double()
    rows = {
        "few": torch.randn(3, 20).double(),
        "none": torch.randn(0, 20).double(),
        "many": torch.randn(40, 20).double(),
    }
    found = through_head(head, rows, 0.1)
    assert list(found) == list(rows)
    for name, some in rows.items():
        torch.testing.assert_close(found[name], head(some) / 0.1, rtol=1e-11, atol=1e-12)


def test_without_local_crops_the_loss_is_that_of_the_two_global_pairs(backbone, make_views, make_teacher):
    dino = DINO(backbone, n_local_crops=0, **SMALL).double()
    views, teacher = make_views(dino), make_teacher(backbone, dino)
    student_out = class_logits(backbone, dino.head, views.global_crops)
    teacher_out = class_logits(teacher.backbone, teacher.heads["head"], views.global_crops)
    expected = DINOLoss(24).double()(teacher_out, student_out)
    assert dino(backbone, teacher, views, DRAWS).item() == pytest.approx(expected.item(), rel=FP32_TEMPERATURE)


def test_views_without_local_crops_give_the_global_part_of_the_whole_loss(dino, backbone, make_views, make_teacher):
    """8 pairs: 2 global-global and 6 global-local; leaving the local crops out keeps the denominator of 8."""
    views, teacher = make_views(dino), make_teacher(backbone, dino)
    state = dino.begin(backbone, teacher, views, DRAWS)
    part = dino(backbone, teacher, replace(views, local_crops=None), DRAWS)
    assert part.item() == pytest.approx(dino.finish(backbone, dino.split(state)[0]).item(), rel=1e-12)
    alone = DINO(backbone, n_local_crops=0, **SMALL).double()
    alone.load_state_dict(dino.state_dict())
    two_pairs = alone(backbone, teacher, replace(views, local_crops=None), DRAWS)
    assert part.item() == pytest.approx(two_pairs.item() * 2 / 8, rel=1e-12)


@pytest.mark.parametrize("kind", [DINO, IBOT, DINOv3])
def test_pairs_told_apart_leave_the_loss_as_it_is_to_the_last_bit(kind, vit, make_views, make_teacher):
    """In fp32 and with 6 pairs, where a half is not a sixth of its sum to the last bit."""
    vit, found = vit.float(), []
    for crop_pairs, weights in ((False, None), (True, None), (True, 1.0)):
        torch.manual_seed(0)
        objective = kind(vit, n_local_crops=2, crop_pairs=crop_pairs, **SMALL)
        teacher, views = make_teacher(vit, objective), make_views(objective)
        views = replace(views, global_crops=views.global_crops.float(), local_crops=views.local_crops.float())
        objective.weigh(None if weights is None else dict.fromkeys(objective.component_names(), weights))
        state = objective.begin(vit, teacher, views, Draws(0, "views"))
        loss = objective.finish(vit, state)
        learned = [*vit.aligned_parameters().values(), *(p for p in objective.parameters() if p.requires_grad)]
        found.append([loss, *torch.autograd.grad(loss, learned, allow_unused=True, materialize_grads=True)])
        halves = [objective.finish(vit, half) for half in objective.split(state)]
        assert sum(halves).item() == pytest.approx(loss.item(), rel=1e-6)
    assert all(torch.equal(*same) for other in found[1:] for same in zip(found[0], other, strict=True))


def test_each_kind_of_pair_counts_by_its_weight(backbone, make_views, make_teacher):
    """Against lightly's loss of the global crops alone: 2 of 8 pairs; what is left are those with a local crop."""
    dino = DINO(backbone, n_local_crops=3, crop_pairs=True, **SMALL).double()
    views, teacher = make_views(dino), make_teacher(backbone, dino)
    student_out = class_logits(backbone, dino.head, [*views.global_crops, *views.local_crops])
    teacher_out = class_logits(teacher.backbone, teacher.heads["head"], views.global_crops)
    whole = DINOLoss(24).double()(teacher_out, student_out).item()
    of_global = DINOLoss(24).double()(teacher_out, student_out[:2]).item() * 2 / 8
    state = dino.begin(backbone, teacher, views, DRAWS)
    losses = {name: of.mean().item() for name, of in dino.loss_components(backbone, state).items()}
    expected = {"global_pairs": of_global, "local_pairs": whole - of_global}
    assert losses == pytest.approx(expected, rel=1e-6)
    dino.weigh({"global_pairs": 0.5, "local_pairs": 2.0})
    weighed = 0.5 * expected["global_pairs"] + 2 * expected["local_pairs"]
    assert dino.finish(backbone, state).item() == pytest.approx(weighed, rel=1e-6)
    with pytest.raises(ValueError, match="no component 'cls'; it has global_pairs, local_pairs"):
        dino.weigh({"cls": 1.0})
    alone = DINO(backbone, n_local_crops=0, crop_pairs=True, **SMALL)
    assert alone.component_weights() == {"global_pairs": 1.0}


def test_the_teacher_is_detached_unless_told_otherwise(backbone, make_views, make_teacher):
    for flow in (False, True):
        dino = DINO(backbone, n_local_crops=3, flow_through_teacher=flow, **SMALL).double()
        views, teacher = make_views(dino), make_teacher(backbone, dino)
        views.global_crops.requires_grad_()
        state = dino.begin(backbone, teacher, views, DRAWS)
        assert state["targets"].requires_grad == flow
        assert (dino.split(state)[1] is None) == flow  # the local pairs' targets then depend on φ
        assert all(parameter.grad is None for parameter in teacher.parameters())


def test_the_gradient_through_the_teacher_is_exact(backbone, make_views, make_teacher):
    dino = DINO(backbone, n_local_crops=3, flow_through_teacher=True, teacher_temperature=0.1, **SMALL).double()
    views, teacher = make_views(dino), make_teacher(backbone, dino)
    crops = views.global_crops.requires_grad_()
    (gradient,) = torch.autograd.grad(dino(backbone, teacher, views, DRAWS), crops)
    direction, step = torch.randn_like(crops), 1e-5
    with torch.no_grad():
        plus, minus = (
            dino(backbone, teacher, replace(views, global_crops=crops + sign * step * direction), DRAWS)
            for sign in (+1, -1)
        )
    assert (gradient * direction).sum().item() == pytest.approx(((plus - minus) / (2 * step)).item(), rel=1e-6)


def test_the_centre_moves_only_in_update_and_by_its_momentum(dino, backbone, make_views, make_teacher):
    state = dino.begin(backbone, make_teacher(backbone, dino), make_views(dino), DRAWS)
    dino.finish(backbone, state)
    assert torch.equal(dino.center, torch.zeros(24).double())
    start = torch.randn(24).double()
    dino.center.copy_(start)
    for _ in range(3):
        dino.update(state)
    torch.testing.assert_close(dino.center, 0.9**3 * start + (1 - 0.9**3) * state["observed.mean"])


def test_a_shift_of_all_teacher_logits_along_the_centre_changes_nothing(dino, backbone, make_views, make_teacher):
    """Centring: what the centre holds is removed from the logits before the softmax."""
    views, teacher = make_views(dino), make_teacher(backbone, dino)
    plain = dino.begin(backbone, teacher, views, DRAWS)
    shift = torch.randn(24).double()
    teacher.heads["head"].register_forward_hook(lambda module, inputs, logits: logits + shift)
    dino.center.copy_(shift)
    torch.testing.assert_close(dino.begin(backbone, teacher, views, DRAWS)["targets"], plain["targets"])


def test_teacher_temperature_warms_up_linearly(backbone):
    dino = DINO(backbone, warmup_temperature=0.04, teacher_temperature=0.07, warmup_share=0.3, **SMALL)
    temperatures = []
    for progress in (0.0, 0.15, 0.3, 1.0):
        dino.on_step(step=0, progress=progress)
        temperatures.append(dino.teacher_temperature)
    assert temperatures == pytest.approx([0.04, 0.055, 0.07, 0.07])


def test_teacher_momentum_rises_from_0996_to_1(dino):
    assert [dino.teacher_momentum(p) for p in (0.0, 0.5, 1.0)] == pytest.approx([0.996, 0.998, 1.0])


def test_the_last_layer_stays_for_its_first_steps(backbone, make_views, make_teacher):
    """Not even weight decay moves it; the layers before it do move."""
    dino = DINO(backbone, n_local_crops=3, freeze_last_layer_steps=2, **SMALL).double()
    views, teacher = make_views(dino), make_teacher(backbone, dino)
    optimizer = torch.optim.AdamW(dino.parameters(), lr=1e-2, weight_decay=0.5)
    last, first = dino.head.last.weight, dino.head.mlp[0].weight
    moved = []
    for step in range(3):
        before = last.detach().clone(), first.detach().clone()
        dino.on_step(step, progress=step / 10)
        optimizer.zero_grad()
        dino(backbone, teacher, views, DRAWS).backward()
        dino.before_optimizer_step()
        optimizer.step()
        moved.append((not torch.equal(last, before[0]), not torch.equal(first, before[1])))
    assert moved == [(False, True), (False, True), (True, True)]


def test_targets_are_fp32_under_autocast(make_views, make_teacher, vit):
    vit = vit.float()
    dino = DINO(vit, n_local_crops=3, **SMALL)
    views = make_views(dino)
    views = replace(views, global_crops=views.global_crops.float(), local_crops=views.local_crops.float())
    with torch.autocast("cpu", torch.bfloat16):
        state = dino.begin(vit, make_teacher(vit, dino), views, DRAWS)
        loss = dino.finish(vit, state)
    assert state["targets"].dtype == loss.dtype == torch.float32
    torch.testing.assert_close(state["targets"].sum(-1), torch.ones(2, 4))


def test_cross_entropies_are_not_rounded_under_autocast():
    targets, logits = torch.rand(2, 4, 500).softmax(-1), torch.randn(3, 4, 500)
    expected = _pair_sum(targets, logits, skip_diagonal=False)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(_pair_sum(targets, logits, skip_diagonal=False), expected)


def test_bad_settings_and_views_are_refused(dino, vit, backbone, make_views, make_teacher):
    without = TimmBackbone(
        "vit_base_patch16_siglip_224", img_size=32, embed_dim=16, depth=2, num_heads=2, aligned_blocks=1
    )
    with pytest.raises(ValueError, match="DINO needs a class token"):
        DINO(without)
    with pytest.raises(ValueError, match=r"teacher_temperature=0.0 must be positive"):
        DINO(vit, teacher_temperature=0.0, **SMALL)
    with pytest.raises(ValueError, match="n_local_crops=-1"):
        DINO(vit, n_local_crops=-1, **SMALL)
    views, teacher = make_views(dino), make_teacher(backbone, dino)
    with pytest.raises(ValueError, match="expects n_local_crops=3, the views have 2"):
        dino(backbone, teacher, replace(views, local_crops=views.local_crops[:2]), DRAWS)
    with pytest.raises(ValueError, match="the learner was trained on views without any"):
        dino.update(dino.begin(backbone, teacher, replace(views, local_crops=None), DRAWS))
