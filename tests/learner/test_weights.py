"""Local checkpoints: what loads, and the message for what does not."""

import pytest
import torch
from safetensors.torch import save_file

from vssl.learner.weights import load_weights


@pytest.mark.parametrize("wrap", [lambda weights: weights, lambda weights: {"state_dict": weights, "epoch": 3}])
def test_torch_files_load_bare_or_under_state_dict(make_backbone, tmp_path, wrap):
    source, vit = make_backbone().vit, make_backbone().vit
    torch.save(wrap(source.state_dict()), tmp_path / "weights.pth")
    load_weights(vit, tmp_path / "weights.pth")
    assert all(torch.equal(a, b) for a, b in zip(source.parameters(), vit.parameters(), strict=True))


def test_classifier_weights_are_ignored(make_backbone, tmp_path):
    vit = make_backbone().vit
    with_head = {**vit.state_dict(), "head.weight": torch.zeros(10, 32), "head.bias": torch.zeros(10)}
    save_file(with_head, tmp_path / "weights.safetensors")
    load_weights(vit, tmp_path / "weights.safetensors")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"depth": 5, "embed_dim": 32}, r"not in the model \(12\): blocks.4.\*\."),
        ({"depth": 3, "embed_dim": 32}, r"missing \(12\): blocks.3.\*\."),
        ({"depth": 4, "embed_dim": 48}, r": \(48,\) in the file, \(32,\) in the model"),
        ({"depth": 4, "embed_dim": 32, "patch_size": 4}, r"proj.weight: \(32, 3, 4, 4\) in the file, \(32, 3, 8, 8\)"),
    ],
)
def test_weights_of_another_architecture_are_refused_and_change_nothing(make_backbone, tmp_path, settings, message):
    torch.save(make_backbone(**settings).vit.state_dict(), tmp_path / "weights.pth")
    vit = make_backbone().vit
    before = {name: value.clone() for name, value in vit.state_dict().items()}
    with pytest.raises(ValueError, match=rf"another architecture: .*{message}.* Give the model name and arguments"):
        load_weights(vit, tmp_path / "weights.pth")
    assert all(torch.equal(value, before[name]) for name, value in vit.state_dict().items())


def test_unreadable_files_are_refused(make_backbone, tmp_path):
    vit = make_backbone().vit
    with pytest.raises(FileNotFoundError, match=r"absent.pth does not exist"):
        load_weights(vit, tmp_path / "absent.pth")
    for name in ("damaged.pth", "damaged.safetensors"):
        (tmp_path / name).write_bytes(b"not a checkpoint")
        with pytest.raises(ValueError, match=rf"{name} cannot be read"):
            load_weights(vit, tmp_path / name)
    torch.save(torch.zeros(3), tmp_path / "tensor.pth")
    with pytest.raises(ValueError, match="holds a Tensor, a dict of weights by name is needed"):
        load_weights(vit, tmp_path / "tensor.pth")


def test_a_truncated_file_is_refused(make_backbone, tmp_path):
    vit = make_backbone().vit
    torch.save(vit.state_dict(), tmp_path / "weights.pth")
    whole = (tmp_path / "weights.pth").read_bytes()
    (tmp_path / "weights.pth").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="cannot be read"):
        load_weights(vit, tmp_path / "weights.pth")
