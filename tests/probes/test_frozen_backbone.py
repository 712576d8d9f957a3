import pytest
import torch
from mmseg.models.segmentors import EncoderDecoder

from vssl.learner import TimmBackbone, open_backbone
from vssl.probes.dense.heads import LinearSegHead
from vssl.probes.frozen_backbone import FrozenBackbone, block_indices, cover


@pytest.fixture
def images():
    return torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def tiny(seed=0, **args):
    torch.manual_seed(seed)
    size = dict(img_size=32, patch_size=8, embed_dim=24, depth=3, num_heads=2)
    return TimmBackbone("vit_tiny_patch16_224", aligned_blocks=1, **{**size, **args})


def test_map_is_the_learners_own_patch_tokens(images, backbone):
    (found,) = FrozenBackbone(backbone)(images)
    tokens = backbone.patch_tokens(backbone(images))
    torch.testing.assert_close(found.flatten(2).transpose(1, 2), tokens)


def test_layers_without_norm_and_with_class_token(images, backbone):
    frozen = FrozenBackbone(backbone, layers=[0, 2], final_norm=False, class_token=True)
    first, last = frozen(images)
    tokens = backbone.embed(images)
    after_one = backbone.run(tokens, backbone.vit.blocks[:1]).x
    assert first.shape == last.shape == (2, 48, 4, 4) and frozen.out_channels == 48
    torch.testing.assert_close(first[:, :24].flatten(2).transpose(1, 2), after_one[:, 1:])
    torch.testing.assert_close(first[:, 24:, 2, 3], after_one[:, 0])
    normed = backbone.vit.norm(last[:, :24].permute(0, 2, 3, 1))
    torch.testing.assert_close(normed.permute(0, 3, 1, 2), FrozenBackbone(backbone)(images)[0])


def test_pooled_parts(images, backbone):
    tokens, frozen = backbone(images), FrozenBackbone(backbone)
    torch.testing.assert_close(frozen.pooled(images, "avg"), tokens[:, 1:].mean(1))
    torch.testing.assert_close(frozen.pooled(images, "avg+class"), torch.cat([tokens[:, 1:].mean(1), tokens[:, 0]], 1))


def test_dinov3_class_with_registers_and_rotary_embedding(images):
    eva = tiny_eva()
    (found,) = FrozenBackbone(eva)(images)
    torch.testing.assert_close(found.flatten(2).transpose(1, 2), eva.patch_tokens(eva(images)))
    assert eva.num_prefix_tokens == 5


def tiny_eva():
    torch.manual_seed(0)
    size = dict(img_size=32, patch_size=8, embed_dim=32, depth=2, num_heads=2)
    return TimmBackbone("vit_small_patch16_dinov3", aligned_blocks=1, **size)


def test_stays_frozen_and_in_eval_whatever_a_segmentor_calls(images, backbone):
    dropping = tiny(drop_path_rate=0.5)
    frozen = FrozenBackbone(dropping)
    before = {name: value.clone() for name, value in frozen.state_dict().items()}
    head = dict(type=LinearSegHead, in_channels=24, num_classes=3)
    model = EncoderDecoder(backbone=dict(type=lambda: frozen), decode_head=head, test_cfg=dict(mode="whole"))
    model.init_weights()
    model.train().requires_grad_(True)
    maps = model.extract_feat(images)
    assert not maps[0].requires_grad and not any(m.training for m in frozen.modules())
    torch.testing.assert_close(maps[0], model.extract_feat(images)[0], rtol=0, atol=0)
    model.decode_head.forward(maps).sum().backward()
    torch.optim.AdamW(model.parameters(), lr=1.0, weight_decay=0.5).step()
    assert all(torch.equal(before[name], value) for name, value in frozen.state_dict().items())


@pytest.mark.parametrize("source", ["our file", "timm name"])
def test_a_plain_mmseg_config_takes_it_by_file_or_timm_name(source, images, backbone, backbone_file):
    settings = dict(backbone=str(backbone_file))
    if source == "timm name":
        settings = dict(model=backbone.name, random_seed=3, **backbone.model_args)
    model = EncoderDecoder(
        backbone=dict(type=FrozenBackbone, layers=[0, 2], class_token=True, **settings),
        decode_head=dict(type=LinearSegHead, in_channels=48, num_layers=2, num_classes=3),
        test_cfg=dict(mode="whole"),
    )
    logits = model.eval()(images, mode="tensor")
    expected = FrozenBackbone(**settings, layers=[0, 2], class_token=True)(images)
    torch.testing.assert_close(logits, model.decode_head.forward(expected))
    assert logits.shape == (2, 3, 4, 4)


def test_a_live_learner_is_not_frozen_along(backbone):
    backbone.train()
    FrozenBackbone(backbone)
    assert backbone.training and all(p.requires_grad for n, p in backbone.named_parameters() if "blocks" in n)


def test_sides_that_are_no_multiple_of_the_patch(backbone):
    images = torch.rand(1, 3, 29, 43)
    (found,) = FrozenBackbone(backbone)(images)
    assert found.shape == (1, 24, 4, 6) and found.isfinite().all()


def test_cover_keeps_places():
    # a map holding each cell's centre in px (patch 8): after the cut, cells of a 29 px side are 29/4 px wide
    centres = (torch.arange(4.0) + 0.5) * 8
    grid = centres.view(1, 1, 4, 1).expand(1, 1, 4, 4).clone()
    cut = cover(grid, (29 / 8, 4.0))[0, 0, :, 0]
    torch.testing.assert_close(cut[1:], (torch.arange(1.0, 4) + 0.5) * 29 / 4)
    assert cut[0] == 4.0  # its centre lies outside the outermost centre of the map: border
    torch.testing.assert_close(cover(grid, (4.0, 4.0)), grid)


def test_open_backbone_sources(backbone, backbone_file):
    ours = open_backbone(backbone_file)
    assert all(torch.equal(ours.vit.state_dict()[n], v) for n, v in backbone.vit.state_dict().items())
    assert torch.equal(open_backbone(backbone_file.parent).vit.pos_embed, backbone.vit.pos_embed)  # a run directory
    named = open_backbone(backbone_file, backbone.name, **backbone.model_args)
    assert torch.equal(named.vit.pos_embed, backbone.vit.pos_embed)
    one, two, other = (open_backbone(backbone_file, random_seed=s).vit.patch_embed.proj.weight for s in (1, 1, 2))
    assert torch.equal(one, two) and not torch.equal(one, other)


def test_open_backbone_refuses(backbone_file, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.safetensors does not exist"):
        open_backbone(tmp_path / "nowhere.safetensors")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"empty has no backbone\.safetensors"):
        open_backbone(tmp_path / "empty")
    with pytest.raises(ValueError, match="another architecture"):
        open_backbone(backbone_file, "vit_tiny_patch16_224")
    with pytest.raises(ValueError, match="no backbone"):
        open_backbone(None)
    with pytest.raises(ValueError, match=r"\['img_size'\] need a model name"):
        open_backbone(backbone_file, img_size=64)


def test_dinov2_takes_images_of_any_size(images):
    torch.manual_seed(0)
    vit = TimmBackbone("vit_small_patch14_dinov2", aligned_blocks=1, embed_dim=24, depth=2, num_heads=2)
    frozen = FrozenBackbone(vit, class_token=True)  # timm builds it for 518 px
    (found,) = frozen(torch.rand(1, 3, 64, 42))
    assert found.shape == (1, 48, 5, 3)
    padded = torch.rand(1, 3, 70, 42)
    (whole,), tokens = frozen(padded), vit(padded)
    torch.testing.assert_close(whole[:, :24].flatten(2).transpose(1, 2), vit.patch_tokens(tokens))


@pytest.mark.parametrize(
    ("layers", "depth", "expected"),
    [
        ("last", 12, [11]),
        ("last4", 12, [8, 9, 10, 11]),
        ("spread4", 12, [2, 5, 8, 11]),
        ("spread4", 24, [4, 11, 17, 23]),
        ("spread4", 40, [9, 19, 29, 39]),
        ([0, 7], 12, [0, 7]),
    ],
)
def test_names_of_layers(layers, depth, expected):
    assert block_indices(layers, depth, "x") == expected


@pytest.mark.parametrize(("layers", "depth"), [("last4", 3), ("spread4", 3), ("first", 12), ([5, 2], 12), ([], 12)])
def test_layers_that_cannot_be(layers, depth):
    with pytest.raises(ValueError, match=r"layers=.*must be"):
        block_indices(layers, depth, "x")


def test_frozen_backbone_refuses(backbone):
    with pytest.raises(ValueError, match=r"layers=\[3\].*0\.\.2"):
        FrozenBackbone(backbone, layers=[3])
    pooled = tiny(class_token=False)
    with pytest.raises(ValueError, match="no class token"):
        FrozenBackbone(pooled, class_token=True)
    with pytest.raises(ValueError, match="no class token"):
        FrozenBackbone(pooled).pooled(torch.rand(1, 3, 32, 32), "class")


def test_a_file_of_several_networks_is_probed_by_its_key(backbone, tmp_path):
    weights = {f"backbone.{name}": value for name, value in backbone.vit.state_dict().items()}
    torch.save({"student": {n: v + 1 for n, v in weights.items()}, "teacher": weights}, tmp_path / "dino.pth")
    teacher = open_backbone(tmp_path / "dino.pth", backbone.name, checkpoint_key="teacher", **backbone.model_args)
    assert torch.equal(teacher.vit.pos_embed, backbone.vit.pos_embed)
    with pytest.raises(ValueError, match=r"2 networks: student.backbone, teacher.backbone"):
        open_backbone(tmp_path / "dino.pth", backbone.name, **backbone.model_args)
    with pytest.raises(ValueError, match="checkpoint_key='teacher' is of a file that a model name stands beside"):
        open_backbone(tmp_path / "dino.pth", checkpoint_key="teacher")
    with pytest.raises(ValueError, match="does not say which timm model it holds"):
        open_backbone(tmp_path / "dino.pth")
