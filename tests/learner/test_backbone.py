"""The split backbone against timm's own forward pass, for every kind of ViT; what is refused."""

import pytest
import timm
import torch
from huggingface_hub import constants
from timm.models.vision_transformer import ParallelScalingBlock
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from vssl.learner import TimmBackbone
from vssl.learner.last_block import block_at

PREFIX = {"vit": 1, "registers": 5, "no class token": 0, "dinov3": 5, "eva02": 1}


def timm_features(backbone, images):
    return backbone.vit.forward_features((images - backbone.mean) / backbone.std)


@pytest.mark.parametrize("aligned_blocks", [1, 2, 4])
def test_trunk_and_tail_are_timms_forward(make_backbone, kind, images, aligned_blocks):
    backbone, images = make_backbone(kind, aligned_blocks=aligned_blocks).double().eval(), images.double()
    expected = timm_features(backbone, images)
    torch.testing.assert_close(backbone.tail(backbone.trunk(images)), expected, rtol=1e-10, atol=1e-12)
    assert torch.equal(backbone(images), backbone.tail(backbone.trunk(images)))


@pytest.mark.parametrize("aligned_blocks", [1, 3])
def test_the_first_tokens_alone_are_those_of_the_whole_tail(make_backbone, kind, images, aligned_blocks):
    """With their gradients, at several tokens and at one, recomputed in the backward pass or not."""
    backbone, images = make_backbone(kind, aligned_blocks=aligned_blocks).double(), images.double()
    for first, recomputed in [(1, False), (3, False), (2, True)]:
        whole = backbone.tail(backbone.trunk(images))[:, :first]
        backbone.grad_checkpointing = recomputed
        alone = backbone.tail(backbone.trunk(images), first)
        backbone.grad_checkpointing = False
        torch.testing.assert_close(alone, whole, rtol=1e-10, atol=1e-12)
        parameters = list(backbone.parameters())
        found, expected = (
            torch.autograd.grad(tokens.pow(3).sum(), parameters, allow_unused=True) for tokens in (alone, whole)
        )
        for ours, theirs in zip(found, expected, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)


def test_the_first_tokens_save_the_last_blocks_mlp_for_the_others(make_backbone, kind, images):
    backbone, seen = make_backbone(kind), []
    for block in backbone.vit.blocks:
        block.mlp.register_forward_hook(lambda mlp, given, _: seen.append(given[0].shape[1]))
    backbone.tail(backbone.trunk(images), first=1)
    assert seen == [PREFIX[kind] + 16] * 3 + [1]


def test_drop_path_takes_the_same_images_whichever_tokens_are_read(make_backbone, images):
    backbone = make_backbone("vit", drop_path_rate=0.5).train()
    torch.manual_seed(3)
    whole = backbone.tail(backbone.trunk(images))[:, :1]
    torch.manual_seed(3)
    torch.testing.assert_close(backbone.tail(backbone.trunk(images), first=1), whole, rtol=1e-5, atol=1e-6)


def test_a_block_of_another_kind_is_run_whole_and_read_at_the_same_tokens():
    block = ParallelScalingBlock(32, 4).double()
    x = torch.randn(2, 5, 32, dtype=torch.double)
    assert torch.equal(block_at(block, slice(2, None), x), block(x)[:, 2:])


def test_tokens_after_blocks_are_timms(make_backbone, kind, images):
    """timm has them without the final norm, and without prefix tokens."""
    backbone, images = make_backbone(kind).double().eval(), images.double()
    first, last, third = backbone.after_blocks(images, (1, 4, 3))
    assert torch.equal(last, backbone(images))
    theirs = (images - backbone.mean) / backbone.std
    theirs = backbone.vit.forward_intermediates(theirs, indices=[0, 2], output_fmt="NLC", intermediates_only=True)
    for ours, expected in zip((first, third), theirs, strict=True):
        torch.testing.assert_close(backbone.patch_tokens(ours), expected, rtol=1e-10, atol=1e-12)


def test_other_image_sizes_are_timms_too(make_backbone, kind):
    backbone, images = make_backbone(kind).double().eval(), torch.rand(2, 3, 48, 64).double()
    assert backbone.grid(images) == (6, 8)
    torch.testing.assert_close(backbone(images), timm_features(backbone, images), rtol=1e-10, atol=1e-12)


def test_prefix_tokens_come_first(make_backbone, kind, images):
    backbone = make_backbone(kind)
    tokens = backbone(images)
    assert backbone.num_prefix_tokens == PREFIX[kind] and tokens.shape == (2, PREFIX[kind] + 16, 32)
    assert torch.equal(backbone.patch_tokens(tokens), tokens[:, PREFIX[kind] :])
    if kind == "no class token":
        with pytest.raises(ValueError, match="vit_base_patch16_siglip_224 has no class token; use pooled"):
            backbone.class_token(tokens)
    else:
        assert torch.equal(backbone.class_token(tokens), tokens[:, 0])


def test_images_are_normalised_with_timms_statistics(make_backbone):
    for kind in ("vit", "dinov3"):
        backbone = make_backbone(kind)
        data = timm.data.resolve_model_data_config(backbone.vit)
        assert backbone.mean.flatten().tolist() == pytest.approx(data["mean"])
        assert backbone.std.flatten().tolist() == pytest.approx(data["std"])
        assert "mean" not in backbone.state_dict()


def test_the_aligned_parameters_are_the_last_blocks_and_the_norm(make_backbone, kind, images):
    """The tail's gradient reaches them all, and nothing else."""
    backbone = make_backbone(kind, aligned_blocks=3)
    tokens = backbone.trunk(images)
    backbone.tail(tokens._replace(x=tokens.x.detach())).square().sum().backward()
    reached = {name for name, parameter in backbone.named_parameters() if parameter.grad is not None}
    assert reached == backbone.aligned_parameters().keys()
    assert {name.split(".")[2] for name in reached if ".blocks." in name} == {"1", "2", "3"}
    assert {"vit.norm.weight", "vit.norm.bias"} <= reached


def test_the_trunk_runs_kept_patches_only(make_backbone, kind, images):
    backbone = make_backbone(kind)
    keep = torch.tensor([[3, 0, 7], [15, 2, 1]])
    tokens = backbone.trunk(images, keep)
    assert tokens.x.shape == (2, PREFIX[kind] + 3, 32)
    assert backbone.tail(tokens).shape == (2, PREFIX[kind] + 3, 32)
    one_by_one = [backbone.tail(backbone.trunk(images[i : i + 1], keep[i : i + 1])) for i in range(2)]
    torch.testing.assert_close(backbone.tail(tokens), torch.cat(one_by_one), rtol=1e-5, atol=1e-5)


def test_a_mask_token_takes_the_place_of_a_patchs_embedding_before_its_position(make_backbone, kind, images):
    """As if the patch projection had given the token there: what a patch shows cannot matter, where it is does."""
    backbone, token, images = make_backbone(kind).double().eval(), torch.randn(32).double(), images.double()
    mask = torch.zeros(2, 16, dtype=torch.bool)
    mask[0, [3, 6]] = mask[1, 9] = True
    masked = backbone.tail(backbone.trunk(images, mask=mask, mask_token=token))
    backbone.vit.patch_embed.proj.register_forward_hook(
        lambda module, inputs, x: torch.where(mask.view(2, 1, 4, 4), token.view(-1, 1, 1), x)
    )
    torch.testing.assert_close(masked, timm_features(backbone, images), rtol=1e-10, atol=1e-12)
    one, other = backbone.patch_tokens(masked)[0, [3, 6]]
    assert (one - other).abs().max() > 1e-5


def test_a_mask_without_hidden_patches_changes_nothing(make_backbone, kind, images):
    backbone = make_backbone(kind).eval()
    nothing = torch.zeros(2, 16, dtype=torch.bool)
    assert torch.equal(backbone.trunk(images, mask=nothing, mask_token=torch.ones(32)).x, backbone.trunk(images).x)


def test_a_mask_of_another_size_or_without_a_token_is_refused(make_backbone, images):
    backbone = make_backbone()
    with pytest.raises(ValueError, match=r"mask \(2, 9\) needs a mask_token and the shape .* \(2, 16\)"):
        backbone.trunk(images, mask=torch.zeros(2, 9, dtype=torch.bool), mask_token=torch.ones(32))
    with pytest.raises(ValueError, match="needs a mask_token"):
        backbone.trunk(images, mask=torch.zeros(2, 16, dtype=torch.bool))


def test_grad_checkpointing_changes_neither_output_nor_gradient(make_backbone, kind, images):
    plain, recomputing = make_backbone(kind), make_backbone(kind, grad_checkpointing=True)
    recomputing.load_state_dict(plain.state_dict())
    for backbone in (plain, recomputing):
        backbone(images).square().mean().backward()
    assert torch.equal(plain(images), recomputing(images))
    assert all(torch.equal(a.grad, b.grad) for a, b in zip(plain.parameters(), recomputing.parameters(), strict=True))


def test_the_tail_has_a_second_derivative_with_math_attention(make_backbone, kind):
    """d/dh ⟨v, ∇_{θ_S} loss⟩ against finite differences, fp64."""
    backbone = make_backbone(kind, aligned_blocks=1).double()
    tokens = backbone.trunk(torch.rand(2, 3, 32, 32).double())
    h, parameters = tokens.x.detach().requires_grad_(), list(backbone.aligned_parameters().values())
    v = [torch.randn_like(p) for p in parameters]

    def along(h):
        loss = backbone.tail(tokens._replace(x=h)).pow(3).mean()
        gradient = torch.autograd.grad(loss, parameters, create_graph=True)
        return sum((g * d).sum() for g, d in zip(gradient, v, strict=True))

    with sdpa_kernel(SDPBackend.MATH):
        (exact,) = torch.autograd.grad(along(h), h)
        direction, step = torch.randn_like(h), 1e-6
        expected = (along(h + step * direction) - along(h - step * direction)) / (2 * step)
    assert (exact * direction).sum().item() == pytest.approx(expected.item(), rel=1e-6)


def test_k_beyond_the_depth_is_refused(make_backbone):
    for aligned_blocks in (0, 5):
        with pytest.raises(ValueError, match=rf"aligned_blocks={aligned_blocks} \(K\) must be in 1..4"):
            make_backbone(aligned_blocks=aligned_blocks)
    assert make_backbone(aligned_blocks=4).trunk(torch.rand(1, 3, 32, 32)).x.shape == (1, 17, 32)


@pytest.mark.parametrize(("height", "width", "use"), [(30, 32, "32x32"), (32, 36, "32x32"), (3, 45, "8x48")])
def test_images_that_are_no_multiple_of_the_patch_are_refused(make_backbone, height, width, use):
    message = rf"{height}x{width} px are not a multiple .*\(8 px\); use e.g. {use}"
    for run in (make_backbone(), make_backbone("dinov3")):
        with pytest.raises(ValueError, match=message):
            run(torch.rand(1, 3, height, width))


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("resnet18", {}, "resnet18 cannot be built .* A timm VisionTransformer or Eva is needed"),
        ("vit_tiny_patch61_224", {}, "not a model of timm .* close to it: .*vit_tiny_patch16_224"),
        ("vit_tiny_patch16_224", {"dpeth": 2}, "cannot be built .*'dpeth'"),
        ("beit_base_patch16_224", {}, "A timm VisionTransformer or Eva is needed"),
        ("vit_tiny_r_s16_p8_224", {}, r"embeds patches with HybridEmbed .*plain square patches"),
        ("vit_tiny_patch16_224", {"patch_size": (8, 16)}, r"PatchEmbed \(8, 16\)"),
        ("vit_tiny_patch16_224", {"patch_drop_rate": 0.5}, "patch_drop_rate must be 0"),
        ("vit_base_patch16_rope_mixed_224", {"depth": 1, "embed_dim": 32, "num_heads": 2}, "rope_mixed_224"),
    ],
)
def test_models_that_cannot_be_split_are_refused(name, settings, message):
    with pytest.raises(ValueError, match=message):
        TimmBackbone(name, aligned_blocks=1, **settings)


def test_two_sources_of_weights_are_refused():
    with pytest.raises(ValueError, match=r"give pretrained=True or checkpoint='weights.pth', not both"):
        TimmBackbone("vit_tiny_patch16_224", pretrained=True, checkpoint="weights.pth")


@pytest.mark.parametrize("answers", [False, True])
def test_without_a_network_the_hub_is_asked_once_and_briefly(monkeypatch, answers):
    asked, offline = [], []

    class Session:
        def head(self, url, timeout):
            asked.append((url, timeout))
            if not answers:
                raise ConnectionError("no network")

    def create(*_, **__):
        offline.append(constants.HF_HUB_OFFLINE)
        raise RuntimeError("not there")

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr("vssl.learner.hub.get_session", Session)
    monkeypatch.setattr("vssl.learner.backbone.timm.create_model", create)
    said = "not there" if answers else "does not answer, and its cache on this machine does not have them"
    with pytest.raises(ValueError, match=rf"released weights could not be loaded \(.*{said}\)\. .*checkpoint=FILE"):
        TimmBackbone("vit_tiny_patch16_224", pretrained=True)
    assert offline == [not answers], "with a network nothing is other than before"
    assert asked == [(constants.ENDPOINT, 5)] and constants.HF_HUB_OFFLINE is False


def test_the_backbone_works_inside_another_module_in_half_precision(make_backbone, kind, images):
    backbone = nn.Sequential(make_backbone(kind))
    with torch.autocast("cpu", torch.bfloat16):
        tokens = backbone(images)
    assert torch.isfinite(tokens).all()
