"""What is exported comes back bit for bit, by the tools that it is for."""

import hashlib
import json
import sys

import pytest
import timm
import torch
from safetensors import safe_open

from vssl.commands.export import main
from vssl.learner import TimmBackbone


def same(one: dict, other: dict) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def features(backbone: TimmBackbone, images: torch.Tensor) -> torch.Tensor:
    return backbone.vit.forward_features((images - backbone.mean) / backbone.std)


def test_a_timm_file_is_the_runs_own(run, tmp_path):
    assert main([str(run), "--format", "timm", "--out", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out/backbone.safetensors").read_bytes() == (run / "backbone.safetensors").read_bytes()


def test_timm_loads_the_hugging_face_folder(exported, tmp_path, monkeypatch):
    """As from the hub after an upload: the download gives the folder's files."""
    backbone, file = exported
    monkeypatch.setattr("timm.models._hub._has_hf_hub", True)  # timm 1.0.20 cannot import today's huggingface_hub
    monkeypatch.setattr(
        "timm.models._hub.hf_hub_download",
        lambda repo_id, filename, **_: str(tmp_path / repo_id.split("/")[1] / filename),
    )
    assert main([str(file), "--format", "huggingface", "--out", str(tmp_path / "mine")]) == 0
    model = timm.create_model("hf-hub:anna/mine", pretrained=True).eval()
    images = torch.rand(2, 3, 48, 32)
    assert same(model.state_dict(), backbone.vit.state_dict())
    normalised = (images - backbone.mean) / backbone.std
    assert torch.equal(model.forward_features(normalised), features(backbone, images))
    assert torch.equal(model(normalised), model.forward_features(normalised))  # neither pooling nor head
    data = timm.data.resolve_model_data_config(model)
    assert list(data["mean"]) == pytest.approx(backbone.mean.flatten().tolist()) and tuple(data["input_size"]) == (
        3,
        32,
        32,
    )
    again = TimmBackbone("hf-hub:anna/mine", pretrained=True, aligned_blocks=1)
    assert same(again.vit.state_dict(), backbone.vit.state_dict())


def test_the_hugging_face_folder_claims_nothing_of_timms_own_weights(exported, tmp_path):
    main([str(exported[1]), "--format", "huggingface", "--out", str(tmp_path / "mine")])
    config = json.loads((tmp_path / "mine/config.json").read_text())
    assert config["architecture"] == exported[0].name.split(".")[0]
    assert not {"tag", "license"} & config["pretrained_cfg"].keys()
    with safe_open(tmp_path / "mine/model.safetensors", framework="pt") as file:
        assert file.metadata() == {"format": "pt"}
    assert sorted(path.name for path in (tmp_path / "mine").iterdir()) == [
        "README.md", "config.json", "model.safetensors",
    ]  # fmt: skip


def test_torch_hub_loads_its_folder(exported, tmp_path):
    backbone, file = exported
    assert main([str(file), "--format", "torchhub", "--out", str(tmp_path / "mine")]) == 0
    model = torch.hub.load(str(tmp_path / "mine"), "backbone", source="local")
    assert same(model.state_dict(), backbone.vit.state_dict()) and not model.training
    (weights,) = (tmp_path / "mine").glob("backbone-*.pth")
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    assert torch.hub.HASH_REGEX.search(weights.name)[1] == digest[:8]
    assert same(torch.load(weights, weights_only=True), backbone.vit.state_dict())
    fresh = torch.hub.load(str(tmp_path / "mine"), "backbone", source="local", pretrained=False)
    assert fresh.state_dict().keys() == model.state_dict().keys() and not same(fresh.state_dict(), model.state_dict())
    sys.modules.pop("hubconf", None)


def test_a_checkpoint_of_others_becomes_a_start(make_backbone, tmp_path):
    backbone = make_backbone("vit")
    weights = {f"module.backbone.{name}": value for name, value in backbone.vit.state_dict().items()}
    torch.save({"student": weights, "teacher": weights}, tmp_path / "dino.pth")
    arguments = [f"{key}={value}" for key, value in backbone.model_args.items()]
    command = [str(tmp_path / "dino.pth"), "--format", "timm", "--out", str(tmp_path / "start")]
    model = ["--model", backbone.name, "--model-args", *arguments, "--checkpoint-key", "teacher"]
    assert main([*command, *model]) == 0
    assert main([*command[:-1], str(tmp_path / "again"), *model[:2], *model[2:-2]]) == 1  # no key
    start = tmp_path / "start/backbone.safetensors"
    assert main([str(start), "--format", "torchhub", "--out", str(tmp_path / "hub")]) == 0  # it says its model


def test_what_cannot_be_exported_is_refused(exported, run, tmp_path, capsys):
    def refused(message: str, *arguments: str) -> None:
        assert main([*arguments]) == 1
        assert message in capsys.readouterr().err

    (tmp_path / "full").mkdir()
    (tmp_path / "full/file").touch()
    file, out = str(exported[1]), str(tmp_path / "out")
    refused("does not exist", str(tmp_path / "absent"), "--format", "timm", "--out", out)
    refused("is not an empty folder", file, "--format", "timm", "--out", str(tmp_path / "full"))
    refused("has no backbone.safetensors", str(tmp_path / "full"), "--format", "timm", "--out", out)
    refused("that a model name stands beside", file, "--format", "timm", "--out", out, "--checkpoint-key", "teacher")
    assert not (tmp_path / "out").exists()
