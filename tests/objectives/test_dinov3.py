"""DINOv3: the Gram loss in closed form, its teacher's renewals, the larger resolution, exact resuming."""

import pytest
import torch
import torch.nn.functional as F

from vssl.draws import Draws
from vssl.learner import TimmBackbone, export_backbone
from vssl.learner.learner import Learner
from vssl.objectives import DINOv2, DINOv3
from vssl.objectives.gram import enlarged_patches, gram

SMALL = {"n_local_crops": 3, "out_dim": 24, "hidden_dim": 32, "bottleneck_dim": 16, "warmup_share": 0.0}


def draws(step=0):
    return Draws(0, "views", step)


@pytest.fixture
def make_dino(backbone):
    def make(**settings):
        return DINOv3(backbone, **(SMALL | settings)).double()

    return make


def moved(module, by=0.05):
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(by * torch.randn_like(parameter))


def test_a_gram_matrix_holds_the_cosines_of_all_pairs_of_patches():
    patches = torch.randn(2, 5, 3).double()
    expected = F.cosine_similarity(patches.unsqueeze(1), patches.unsqueeze(2), dim=-1)
    torch.testing.assert_close(gram(patches), expected)


@pytest.mark.parametrize("scale", [1, 2])
def test_the_loss_is_dinov2s_plus_the_mean_squared_difference_of_gram_matrices(
    make_dino, backbone, make_views, make_teacher, scale
):
    dino = make_dino(gram_weight=1.5, gram_scale=scale)
    moved(dino.gram_teacher)
    views, teacher = make_views(dino), make_teacher(backbone, dino)
    state = dino.begin(backbone, teacher, views, draws())
    without = DINOv2(backbone, mask_exact=True, **SMALL).double()
    without.load_state_dict({k: v for k, v in dino.state_dict().items() if "gram" not in k})
    expected = without.finish(backbone, state)
    rows = views.global_crops.flatten(0, 1)
    student = backbone.patch_tokens(backbone.tail(backbone.trunk(rows, mask=state["mask"], mask_token=dino.mask_token)))
    anchor = enlarged_patches(dino.gram_teacher.backbone, rows, scale)
    for one, other in zip(student, anchor, strict=True):
        cosines = [F.normalize(p, dim=-1) @ F.normalize(p, dim=-1).T for p in (one, other)]
        expected = expected + 1.5 * F.mse_loss(*cosines) / len(rows)
    assert dino.finish(backbone, state).item() == pytest.approx(expected.item(), rel=1e-9)


def test_the_student_at_the_gram_teachers_weights_and_without_masks_has_no_gram_loss(
    make_dino, backbone, make_views, make_teacher
):
    dino = make_dino(gram_scale=1, mask_probability=0.0)
    views, teacher = make_views(dino), make_teacher(backbone, dino)
    state = dino.begin(backbone, teacher, views, draws())
    tokens = {"global": backbone(views.global_crops.flatten(0, 1))}
    torch.testing.assert_close(dino.losses(backbone, tokens, state)["gram"], torch.zeros(4).double())


def test_features_at_twice_the_size_are_resized_to_the_students_grid(backbone):
    images = torch.rand(2, 3, 32, 48).double()
    patches = enlarged_patches(backbone, images, 2)
    assert patches.shape == (2, 24, 32) and torch.equal(
        enlarged_patches(backbone, images, 1), backbone.patch_tokens(backbone(images))
    )
    large = F.interpolate(images, (64, 96), mode="bicubic", align_corners=False).clamp(0, 1)
    maps = backbone.patch_tokens(backbone(large)).transpose(1, 2).unflatten(2, (8, 12))
    # bicubic halving with a = −0.75: the four nearest of a line have weights −3/32, 19/32, 19/32, −3/32
    kernel = torch.tensor([-3.0, 19, 19, -3]).double() / 32
    inner = maps[:, :, 1:-1, 1:-1].unfold(2, 4, 2).unfold(3, 4, 2)
    expected = torch.einsum("bdhwij,i,j->bhwd", inner, kernel, kernel)
    torch.testing.assert_close(patches.unflatten(1, (4, 6))[:, 1:-1, 1:-1], expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("settings", "renewals"),
    [
        ({"gram_every": 2, "gram_updates": None}, [2, 4, 6]),
        ({"gram_every": 2, "gram_updates": 1}, [2]),
        ({"gram_every": None}, []),
        ({"gram_start": 3, "gram_every": 2, "gram_updates": 1}, [3, 5]),
        ({"gram_start": 3, "gram_every": None}, [3]),
    ],
)
def test_the_gram_teacher_becomes_the_ema_teacher_when_due(vit, make_views, settings, renewals):
    learner = Learner(vit, DINOv3(vit, **SMALL, **settings).double())
    dino, start = learner.objective, settings.get("gram_start", 0)
    views, seen = make_views(dino), []
    for step in range(7):
        dino.on_step(step, step / 10)
        loss, state = learner(views, draws(step))
        assert ("gram" in state) == (step >= start) and loss.isfinite()
        moved(vit)
        before = {k: v.clone() for k, v in dino.gram_teacher.state_dict().items()}
        learner.update_teacher(state, step / 10)
        after, teacher = dino.gram_teacher.state_dict(), learner.teacher.state_dict()
        if not all(torch.equal(after[k], v) for k, v in before.items()):
            assert all(torch.equal(v, teacher[k]) for k, v in after.items())
            seen.append(step + 1)
    assert seen == renewals


def test_the_gram_teacher_starts_as_the_backbone_or_the_checkpoint_and_is_never_trained(vit, tmp_path):
    dino = DINOv3(vit, **SMALL)
    assert all(torch.equal(v, vit.state_dict()[k]) for k, v in dino.gram_teacher.backbone.state_dict().items())
    assert not any(p.requires_grad for p in dino.gram_teacher.parameters()) and not dino.train().gram_teacher.training
    other = TimmBackbone("vit_tiny_patch16_224", img_size=32, patch_size=8, embed_dim=32, depth=3, num_heads=2)
    export_backbone(other, tmp_path / "start.safetensors", {})
    dino = DINOv3(vit, gram_checkpoint=str(tmp_path / "start.safetensors"), **SMALL)
    for name, value in dino.gram_teacher.backbone.vit.state_dict().items():
        torch.testing.assert_close(value.float(), other.vit.state_dict()[name])


def test_the_gradient_through_the_gram_teacher_is_exact(make_dino, backbone, make_views, make_teacher):
    dino = make_dino(flow_through_teacher=True, teacher_temperature=0.1, gram_weight=20.0)
    moved(dino.gram_teacher)
    views, teacher = make_views(dino), make_teacher(backbone, dino)
    crops = 0.2 + 0.6 * views.global_crops  # enlarged crops are clamped to [0, 1], which has no derivative at its ends
    crops.requires_grad_()
    there = type(views)
    loss = dino(backbone, teacher, there(crops, views.local_crops), draws())
    (gradient,) = torch.autograd.grad(loss, crops)
    direction, step = torch.randn_like(crops), 1e-5
    with torch.no_grad():
        plus, minus = (
            dino(backbone, teacher, there(crops + sign * step * direction, views.local_crops), draws())
            for sign in (+1, -1)
        )
    assert (gradient * direction).sum().item() == pytest.approx(((plus - minus) / (2 * step)).item(), rel=1e-6)


def test_bad_settings_are_refused(vit):
    for settings, message in [
        ({"gram_weight": -1}, "gram_weight=-1"),
        ({"gram_scale": 1.5}, r"gram_scale=1.5 a whole number"),
        ({"gram_every": 0}, "gram_every=0 must be None or 1 or more"),
        ({"gram_checkpoint": "a.pth", "gram_start": 5}, "would be replaced at gram_start=5; give one only"),
    ]:
        with pytest.raises(ValueError, match=message):
            DINOv3(vit, **SMALL, **settings)
