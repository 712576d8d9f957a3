"""A run as training and probing leave it, in miniature: nothing is trained here."""

import json

import pytest
import torch

from vssl.learner import TimmBackbone, export_backbone

KINDS = {
    "vit": ("vit_tiny_patch16_224", {"img_size": 32}),
    "registers": ("vit_small_patch14_reg4_dinov2", {"img_size": 32, "init_values": 1.0}),
    "dinov3": ("vit_small_patch16_dinov3", {"img_size": 32, "init_values": 1.0}),
    "siglip": ("vit_base_patch16_siglip_224", {"img_size": 32}),
}
CONFIG = """
backbone = dict(type='vssl.learner.TimmBackbone', name='vit_tiny_patch16_224', checkpoint='/home/anna/secret/dino.pth',
                checkpoint_key='teacher')
unlabeled = dict(type='vssl.datasets.UnlabeledImages', root='/home/anna/secret/photos', size=48)
objective = dict(type='vssl.objectives.SimCLR', temperature=0.2)
recipe = dict(type='vssl.views.MultiCrop', grayscale=0.2)
designer = dict(type='vssl.designers.GlobalPolicy')
optimizer = dict(type='torch.optim.AdamW', lr=0.001)
batch_size = 48
"""
POLICY = {
    "step": 190,
    "views": [
        {
            "name": "global crops",
            "numbers": [
                {"name": "hue", "unit": "turns", "initial": [-0.1, 0.1], "current": [-0.02, 0.02]},
                {"name": "blur", "unit": "pixels (σ)", "initial": [0.1, 1.0], "current": [0.1, 1.0]},
            ],
            "gates": [{"name": "grayscale", "initial": 0.2, "current": 0.05}],
        }
    ],
}


@pytest.fixture
def make_backbone():
    def make(kind: str) -> TimmBackbone:
        torch.manual_seed(0)
        name, arguments = KINDS[kind]
        small = {"patch_size": 8, "embed_dim": 32, "depth": 2, "num_heads": 2, "aligned_blocks": 1}
        backbone = TimmBackbone(name, **{**small, **arguments})
        with torch.no_grad():  # normalised tokens of every scale, position embeddings that matter
            for parameter in backbone.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
        return backbone.eval()

    return make


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture
def exported(make_backbone, kind, tmp_path):
    """A backbone and its file."""
    backbone = make_backbone(kind)
    export_backbone(
        backbone, tmp_path / "backbone.safetensors", {"objective": "DINO", "steps": 9, "weights": "teacher"}
    )
    return backbone, tmp_path / "backbone.safetensors"


@pytest.fixture
def run(make_backbone, tmp_path):
    folder = tmp_path / "policy" / "seed0"
    (folder / "probes").mkdir(parents=True)
    about = {"arm": "policy", "seed": 0, "objective": "SimCLR", "designer": "GlobalPolicy", "budget": {"steps": 190}}
    export_backbone(
        make_backbone("vit"), folder / "backbone.safetensors", {**about, "steps": 190, "weights": "student"}
    )
    (folder / "run.json").write_text(json.dumps({**about, "steps": 190, "seconds": 38.0, "finished": True}))
    (folder / "config.py").write_text(CONFIG)
    (folder / "policy.jsonl").write_text(json.dumps(POLICY) + "\n")
    result = {
        "name": "segmentation", "task": "segmentation", "scores": {"mIoU": 65.7},
        "score_info": {"mIoU": {"title": "mIoU", "unit": "%", "better": "higher", "digits": 2}},
        "card": {"input_size": [32, 32], "data": {"root": "/home/anna/secret/ade20k"}, "seed": 0},
        "backbone": "runs/policy/seed0/backbone.safetensors",
    }  # fmt: skip
    random = {**result, "scores": {"mIoU": 11.1}, "backbone": f"{result['backbone']}, random weights 0"}
    (folder / "probes/scenes.json").write_text(json.dumps([result, random]))
    return folder
