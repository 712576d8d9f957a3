"""Tiny backbones of every kind that is supported."""

import pytest
import torch

from vssl.learner import TimmBackbone

SMALL = {"embed_dim": 32, "depth": 4, "num_heads": 2}
BACKBONES = {
    "vit": ("vit_tiny_patch16_224", {"patch_size": 8, "img_size": 32}),
    "registers": ("vit_small_patch14_reg4_dinov2", {"patch_size": 8, "img_size": 32, "init_values": 1.0}),
    "no class token": ("vit_base_patch16_siglip_224", {"patch_size": 8, "img_size": 32}),
    # LayerScale starts at 1e-5 in DINOv3 and DINOv2: at 1 the blocks matter.
    "dinov3": ("vit_small_patch16_dinov3", {"patch_size": 8, "init_values": 1.0}),
    "eva02": ("eva02_tiny_patch14_224", {"patch_size": 8, "img_size": 32}),
}


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.fixture
def make_backbone():
    def make(kind="vit", **settings):
        name, arguments = BACKBONES[kind]
        return TimmBackbone(name, **{**SMALL, **arguments, **settings})

    return make


@pytest.fixture(params=BACKBONES)
def kind(request):
    return request.param


@pytest.fixture
def images():
    return torch.rand(2, 3, 32, 32)
