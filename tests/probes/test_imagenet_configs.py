"""The ImageNet presets: the grids of the protocols, and two real steps on miniature folders."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from vssl.learner import TimmBackbone
from vssl.probes.decoded_images import ProbeData
from vssl.probes.outcome import ProbeRun
from vssl.probes.run import build_probes, run_probes

CONFIGS = Path(__file__).parents[2] / "configs/probes/imagenet"


@pytest.fixture(scope="module")
def deep() -> TimmBackbone:
    torch.manual_seed(0)
    shrunk = dict(img_size=224, embed_dim=24, depth=4, num_heads=2)
    return TimmBackbone("vit_tiny_patch16_224", aligned_blocks=1, **shrunk)


@pytest.mark.parametrize(
    ("name", "members", "inputs", "norm"),
    [("dinov2", 52, {24, 48, 96, 120}, False), ("dinov3", 13, {48}, False), ("paper", 13, {24}, True)],
)
def test_preset_is_the_protocol_and_takes_two_steps(name, members, inputs, norm, deep, folders):
    config = Config.fromfile(CONFIGS / f"{name}.py")
    assert config.probes.linear.schedule.steps == 12_500 and config.probes.knn.temperature == 0.07
    assert config.probes.linear.get("select", "held-out") == "held-out"
    heads = build_probes(config)["linear"].build(ProbeRun(deep, ProbeData(), 0, torch.device("cpu")), 1000)
    assert len(heads) == members and {m.head[-1].in_features for m in heads} == inputs
    assert all(isinstance(m.head[1], torch.nn.BatchNorm1d) == norm for m in heads)
    assert (min(m.about["lr"] for m in heads), max(m.about["lr"] for m in heads)) == (4e-5, 0.4)  # batch 1024

    data = dict(train=folders["train"], val=folders["val"], num_workers=0)
    config.probes.linear.update(data, holdout=0.25)
    config.probes.linear.schedule.update(steps=2)
    config.probes.knn.update(data, k=[1, 5])
    config.device = "cpu"
    linear, knn = run_probes(deep, config)
    assert len(linear["members"]) == members and linear["card"]["steps"] == 2
    assert list(knn["scores"]) == ["knn_top1", "knn_top1@1", "knn_top1@5"]
