"""Backbones out to safetensors and back, through this project and through timm alone."""

import json
import os
import subprocess
import sys

import pytest
import timm
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from vssl.learner import TimmBackbone, export_backbone, load_backbone
from vssl.learner.backbone_file import read_card


@pytest.fixture
def exported(make_backbone, kind, tmp_path):
    backbone = make_backbone(kind, aligned_blocks=1).eval()
    path = tmp_path / "backbone.safetensors"
    export_backbone(backbone, path, card={"arm": "fixed recipe", "seed": 3})
    return backbone, path


def test_timm_alone_loads_the_file(exported, images):
    backbone, path = exported
    model = timm.create_model(
        backbone.name, num_classes=0, global_pool="", checkpoint_path=str(path), **backbone.model_args
    ).eval()
    expected, own = backbone.vit.state_dict(), model.state_dict()
    assert own.keys() == expected.keys() and all(torch.equal(own[name], expected[name]) for name in own)
    # in fp64: patches are embedded by a product of matrices here, which rounds otherwise than timm's convolution
    features = model.double().forward_features((images.double() - backbone.double().mean) / backbone.std)
    torch.testing.assert_close(features, backbone(images.double()), rtol=1e-10, atol=1e-10)


def test_the_file_rebuilds_the_backbone(exported, images):
    backbone, path = exported
    rebuilt = load_backbone(path).eval()
    assert torch.equal(rebuilt(images), backbone(images))
    assert rebuilt.name == backbone.name and rebuilt.aligned_blocks == 2  # K belongs to a run, not to the weights
    assert load_backbone(path, aligned_blocks=4).aligned_blocks == 4


WRITE = """
import sys, torch
from vssl.learner import TimmBackbone, export_backbone
torch.manual_seed(0)
backbone = TimmBackbone("vit_tiny_patch16_224", img_size=32, embed_dim=16, depth=1, num_heads=1, aligned_blocks=1)
for name in sys.argv[1:]:
    export_backbone(backbone, name, card={"arm": "größer", "b": 1, "a": [2, None]})
"""


@pytest.mark.slow
def test_the_same_weights_make_the_same_bytes_in_every_process(tmp_path, monkeypatch):
    """safetensors itself writes its metadata in an order that changes. Slow, since another process imports torch."""
    names = [str(tmp_path / f"{i}.safetensors") for i in range(8)]
    environment = {**os.environ, "PYTHONHASHSEED": "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"}
    subprocess.run([sys.executable, "-c", WRITE, *names[:4]], check=True, env=environment)
    monkeypatch.setattr(sys, "argv", ["", *names[4:]])
    with torch.random.fork_rng():
        exec(WRITE, {})
    files = [path.read_bytes() for path in sorted(tmp_path.glob("*.safetensors"))]
    assert len(files) == 8 and len(set(files)) == 1
    assert read_card(names[0])["card"]["arm"] == "größer"
    assert len(load_backbone(names[0], aligned_blocks=1).vit.blocks) == 1


def test_the_card_travels_with_the_weights(exported):
    backbone, path = exported
    assert read_card(path) == {
        "name": backbone.name,
        "model_args": json.loads(json.dumps(backbone.model_args)),
        "card": {"arm": "fixed recipe", "seed": 3},
    }


def test_the_file_holds_timms_names_and_no_partial_file_is_left(make_backbone, tmp_path):
    backbone = make_backbone()
    export_backbone(backbone, tmp_path / "backbone.safetensors")
    with safe_open(tmp_path / "backbone.safetensors", framework="pt") as file:
        assert set(file.keys()) == set(backbone.vit.state_dict())
    assert [path.name for path in tmp_path.iterdir()] == ["backbone.safetensors"]


def test_an_exported_backbone_is_a_start_checkpoint(make_backbone, tmp_path, images):
    backbone = make_backbone()
    export_backbone(backbone, tmp_path / "start.safetensors")
    continued = make_backbone(checkpoint=str(tmp_path / "start.safetensors"))
    assert torch.equal(continued(images), backbone(images))


def test_files_that_are_not_ours_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"does not exist; give a backbone.safetensors that a run wrote"):
        load_backbone(tmp_path / "absent.safetensors")
    (tmp_path / "damaged.safetensors").write_bytes(b"not safetensors")
    with pytest.raises(ValueError, match="not a readable safetensors file"):
        load_backbone(tmp_path / "damaged.safetensors")
    save_file({"weight": torch.zeros(2)}, tmp_path / "foreign.safetensors")
    with pytest.raises(ValueError, match="does not say which timm model it holds"):
        load_backbone(tmp_path / "foreign.safetensors")


def test_a_small_model_by_arguments_needs_nothing_but_the_file(tmp_path, images):
    small = TimmBackbone("vit_tiny_patch16_224", img_size=32, patch_size=8, embed_dim=16, depth=2, num_heads=2)
    export_backbone(small, tmp_path / "backbone.safetensors")
    assert load_backbone(tmp_path / "backbone.safetensors")(images).shape == (2, 17, 16)
