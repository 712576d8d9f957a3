"""DINOv2 against lightly's KoLeo and the sum of its parts; Sinkhorn-Knopp targets; what weights mean with them."""

import pytest
import torch
from lightly.loss import KoLeoLoss

from vssl.draws import Draws
from vssl.objectives import IBOT, DINOv2
from vssl.objectives.base import WEIGHTS
from vssl.objectives.centring import sinkhorn_knopp
from vssl.objectives.koleo import koleo

SMALL = {"n_local_crops": 3, "out_dim": 24, "hidden_dim": 32, "bottleneck_dim": 16, "warmup_share": 0.0}


def draws():
    return Draws(0, "views")


def test_koleo_is_lightlys_with_its_gradient():
    rows = torch.randn(7, 5).double().requires_grad_()
    ours, theirs = koleo(rows).mean(), KoLeoLoss()(rows)
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-12)
    torch.testing.assert_close(*(torch.autograd.grad(loss, rows)[0] for loss in (ours, theirs)))


def test_koleo_is_the_log_distance_to_the_nearest_neighbour():
    rows = 3 * torch.tensor([[1.0, 0], [0, 1], [-1, 0]]).double()
    rows[1] = torch.tensor([0.6, 0.8])  # √0.8 from the first
    expected = -torch.tensor([0.8, 0.8, 0.64 + 2.56]).double().sqrt().log()
    torch.testing.assert_close(koleo(rows), expected, rtol=1e-7, atol=1e-7)


def test_koleo_of_one_image_is_refused():
    with pytest.raises(ValueError, match="KoLeo needs two images or more in a batch, got 1"):
        koleo(torch.randn(1, 5))


@pytest.mark.parametrize("centring", ["centre", "sinkhorn_knopp"])
def test_the_loss_is_ibots_plus_koleo_of_each_global_crop(backbone, make_views, make_teacher, centring):
    dino = DINOv2(backbone, centring=centring, koleo_weight=0.3, **SMALL).double()
    views, teacher = make_views(dino), make_teacher(backbone, dino)
    state = dino.begin(backbone, teacher, views, draws())
    # iBOT on the same targets; its own are those of the running centre.
    ibot = IBOT(backbone, shared_head=False, patch_out_dim=24, mask_min_patches=4, **SMALL).double()
    ibot.load_state_dict(dino.state_dict())
    expected = ibot.finish(backbone, state)
    own = ibot.begin(backbone, teacher, views, draws())
    for name in ("targets", "patch_targets"):
        assert torch.allclose(own[name], state[name]) == (centring == "centre")
    rows = views.global_crops.flatten(0, 1)
    tokens = backbone.tail(backbone.trunk(rows, mask=state["mask"], mask_token=dino.mask_token))
    for crop in tokens.chunk(2):
        expected = expected + 0.3 * KoLeoLoss()(crop[:, 0])
    assert dino.finish(backbone, state).item() == pytest.approx(expected.item(), rel=1e-12)


def test_sinkhorn_targets_are_over_both_crops_of_all_images_and_over_all_hidden_patches(
    backbone, make_views, make_teacher
):
    dino = DINOv2(backbone, **SMALL).double()
    views, teacher = make_views(dino), make_teacher(backbone, dino)
    state = dino.begin(backbone, teacher, views, draws())
    seen = teacher.backbone(views.global_crops.flatten(0, 1))
    expected = sinkhorn_knopp(teacher.heads["head"](seen[:, 0]), 0.07)
    torch.testing.assert_close(state["targets"].flatten(0, 1), expected)
    hidden = teacher.heads["patch_head"](backbone.patch_tokens(seen)[state["mask"]])
    torch.testing.assert_close(state["patch_targets"], sinkhorn_knopp(hidden, 0.07))


def test_an_image_of_weight_0_still_is_a_neighbour_and_has_its_share_of_the_prototypes(
    backbone, make_views, make_teacher
):
    """Weights touch neither targets nor neighbours: the loss with weight 0 is the mean of the others' own losses."""
    dino = DINOv2(backbone, **SMALL).double()
    views, teacher = make_views(dino), make_teacher(backbone, dino)
    state = dino.begin(backbone, teacher, views, draws())
    rows = views.global_crops.flatten(0, 1)
    tokens = {
        "global": backbone.tail(backbone.trunk(rows, mask=state["mask"], mask_token=dino.mask_token)),
        "local": backbone(views.local_crops.flatten(0, 1)),
    }
    each = dino.losses(backbone, tokens, state)
    assert each.keys() == {"cls", "patch", "koleo"}
    weighted = dino.finish(backbone, state | {WEIGHTS: torch.tensor([1.0, 1, 1, 0]).double()})
    assert weighted.item() == pytest.approx(sum(each.values())[:3].mean().item(), rel=1e-9)


def test_the_gradient_through_sinkhorn_targets_is_exact(backbone, make_views, make_teacher):
    dino = DINOv2(backbone, flow_through_teacher=True, **(SMALL | {"teacher_temperature": 0.1})).double()
    views, teacher = make_views(dino), make_teacher(backbone, dino)
    crops = views.global_crops.requires_grad_()
    (gradient,) = torch.autograd.grad(dino(backbone, teacher, views, draws()), crops)
    direction, step, there = torch.randn_like(crops), 1e-5, type(views)
    with torch.no_grad():
        plus, minus = (
            dino(backbone, teacher, there(crops + sign * step * direction, views.local_crops), draws())
            for sign in (+1, -1)
        )
    assert (gradient * direction).sum().item() == pytest.approx(((plus - minus) / (2 * step)).item(), rel=1e-6)


def test_bad_settings_are_refused(vit):
    with pytest.raises(ValueError, match="DINOv2 centring='mean'; give 'sinkhorn_knopp' or 'centre'"):
        DINOv2(vit, centring="mean", **SMALL)
    with pytest.raises(ValueError, match="koleo_weight=-1"):
        DINOv2(vit, koleo_weight=-1, **SMALL)
    with pytest.raises(ValueError, match="iterations=0"):
        DINOv2(vit, iterations=0, **SMALL)
