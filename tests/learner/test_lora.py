"""LoRA: what is trained, that it starts as the backbone, that an export answers the same, and the value under it."""

from functools import partial

import pytest
import timm
import torch
from safetensors.torch import load_file

from vssl.draws import Draws
from vssl.learner import TimmBackbone
from vssl.learner.backbone_file import load_backbone
from vssl.learner.learner import Learner
from vssl.objectives import DINO, MAE
from vssl.value import Dot, central_difference, double_backward, functional_tail
from vssl.views.crops import Views

pytest.importorskip("peft")  # the extra "lora"

SIZE = dict(img_size=16, patch_size=4, embed_dim=16, depth=3, num_heads=2)
DINOV3 = dict(patch_size=8, embed_dim=32, depth=2, num_heads=2, init_values=1.0)
IMAGES = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def built(name="vit_tiny_patch16_224", size=SIZE, **lora):
    torch.manual_seed(0)
    return TimmBackbone(name, aligned_blocks=1, lora=dict(rank=2) | lora, **size)


def disturbed(backbone):
    """As after some steps: B is no longer 0."""
    with torch.no_grad():
        for p in backbone.parameters():
            if p.requires_grad:
                p.add_(0.3 * torch.randn_like(p))
    return backbone


def test_it_starts_as_the_backbone_and_trains_the_additions_alone():
    torch.manual_seed(0)
    plain, backbone = TimmBackbone("vit_tiny_patch16_224", aligned_blocks=1, **SIZE), built()
    torch.testing.assert_close(backbone(IMAGES), plain(IMAGES), rtol=0, atol=0)
    trained = {n: tuple(p.shape) for n, p in backbone.named_parameters() if p.requires_grad}
    assert len(trained) == 3 * 2 * 2 and all(".lora_" in name and 2 in shape for name, shape in trained.items())
    assert list(backbone.aligned_parameters()) == [name for name in trained if name.startswith("vit.blocks.2.")]


@pytest.mark.parametrize(("name", "size"), [("vit_tiny_patch16_224", SIZE), ("vit_small_patch16_dinov3", DINOV3)])
def test_an_export_has_timms_names_and_answers_the_same(name, size, tmp_path):
    backbone = disturbed(built(name, size, layers=("attn.proj", "mlp.fc2")))
    before = backbone(IMAGES)
    backbone.export(tmp_path / "b.safetensors")
    assert torch.equal(backbone(IMAGES), before)
    weights = load_file(tmp_path / "b.safetensors")
    own = timm.create_model(name, num_classes=0, global_pool="", dynamic_img_size=True, **size).state_dict()
    assert weights.keys() == own.keys()
    loaded = load_backbone(tmp_path / "b.safetensors", aligned_blocks=1)
    torch.testing.assert_close(loaded(IMAGES), before, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", [DINO, MAE])
def test_the_value_and_its_gradient_are_those_of_what_is_trained(kind):
    settings = kind.small(16) | ({"n_local_crops": 0} if kind is DINO else {})
    backbone = disturbed(built()).double()
    learner = Learner(backbone, kind(backbone, **settings).double())
    crops = IMAGES.double().expand(learner.objective.n_global_crops, -1, -1, -1, -1).clone().requires_grad_()
    state = learner.objective.begin(backbone, learner.teacher, Views(crops), Draws(0, "o"))
    params = backbone.aligned_parameters()
    g_down = [torch.randn_like(p) for p in params.values()]
    expected = torch.autograd.grad(learner.objective.finish(backbone, state), list(params.values()), retain_graph=True)
    exact, near = (
        estimate(state, functional_tail(learner.objective, backbone), params, partial(Dot(), g_down))
        for estimate in (double_backward, central_difference)
    )
    for found, gradient in zip(exact.g_pre, expected, strict=True):
        torch.testing.assert_close(found, gradient)
    for entry, cotangent in exact.cotangents.items():
        assert (near.cotangents[entry] - cotangent).norm() < 1e-3 * cotangent.norm()


def test_the_teacher_follows_and_what_is_frozen_stays():
    backbone = built()
    learner = Learner(backbone, DINO(backbone, **(DINO.small(16) | {"n_local_crops": 0})))
    frozen = {n: p.clone() for n, p in backbone.named_parameters() if not p.requires_grad}
    optimizer = torch.optim.AdamW([p for p in learner.parameters() if p.requires_grad], lr=0.1, weight_decay=0.1)
    for step in range(2):
        loss, state = learner(Views(IMAGES.expand(2, -1, -1, -1, -1)), Draws(0, "o", step))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        learner.update_teacher(state, progress=0.0)
    own, teachers = dict(backbone.named_parameters()), dict(learner.teacher.backbone.named_parameters())
    assert all(torch.equal(own[n], value) and torch.equal(teachers[n], value) for n, value in frozen.items())
    assert all(p.any() for n, p in teachers.items() if ".lora_B" in n)


def test_what_cannot_be_adapted_is_refused():
    for settings, told in [
        (dict(rank=0), "rank=0"),
        (dict(layers=("attn.q",)), "linear layers of a block are attn.qkv"),
        (dict(dropout=1.0), "dropout=1.0"),
    ]:
        with pytest.raises(ValueError, match=told):
            built(**settings)
    with pytest.raises(
        ValueError, match=r"does not call the layer of blocks\.0\.attn\.qkv"
    ):  # it has a bias of its own
        built("vit_small_patch16_dinov3", DINOV3 | dict(qkv_bias=True))
