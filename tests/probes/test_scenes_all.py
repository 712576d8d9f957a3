"""configs/probes/scenes_all.py on miniature data: every kind of probe, several seeds, and what the cards then say."""

import json
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from vssl.commands.probe import main
from vssl.datasets.scenes import write_retrieval
from vssl.learner import TimmBackbone, export_backbone
from vssl.probes.result_lines import table
from vssl.probes.run import build_probes
from vssl.probes.spread import over_seeds, run_seeds

CONFIG = Path(__file__).parents[2] / "configs/probes/scenes_all.py"
KINDS = ["SegmentationProbe", "DepthProbe", "LinearProbe", "KNNProbe", "DenseGrid", "LinearGridProbe"]
KINDS += ["EmbeddingProbe", "RetrievalProbe"]


@pytest.fixture(scope="module")
def backbone():
    """Four blocks, for layers="last4"."""
    torch.manual_seed(0)
    size = dict(img_size=32, patch_size=8, embed_dim=24, depth=4, num_heads=2)
    return TimmBackbone("vit_tiny_patch16_224", aligned_blocks=1, **size)


@pytest.fixture
def small(scenes, tmp_path):
    """The config with few steps on the miniature data."""
    cfg = Config.fromfile(CONFIG)
    cfg.device = "cpu"
    rooms = write_retrieval(tmp_path / "rooms", rooms=3, size=24, workers=1).parent
    for name, probe in cfg.probes.items():
        dense = probe.get("probe", probe)
        if name.startswith(("segmentation", "depth")):
            for split in ("train", "val"):
                dense[split].data_root = str(scenes / ("nyuv2" if name.startswith("depth") else "ade20k"))
        elif "train" in probe:
            for split in ("train", "val"):
                probe[split] = str(scenes / "imagenet" / split)
        if "steps" in dense.get("schedule", {}):
            dense.schedule.update(steps=4, batch_size=5)
            dense.schedule.pop("warmup_steps", None)
    cfg.probes.knn.k = [3]
    cfg.probes.embedding.root = str(scenes / "imagenet/val")
    cfg.probes.retrieval.dataset.root = str(rooms)
    return cfg


def test_it_holds_every_kind_of_probe_head_and_fit():
    config = Config.fromfile(CONFIG)
    probes = build_probes(config)
    assert {type(p).__name__ for p in probes.values()} == set(KINDS)
    dense = [getattr(p, "probe", p) for n, p in probes.items() if n.startswith(("segmentation", "depth"))]
    assert {p.head_type.__name__ for p in dense} == {"LinearSegHead", "LinearDepthHead", "BinDepthHead"}
    assert {(type(p.schedule).__name__, p.path) for p in dense} == {
        ("FullBatch", "cached"), ("Schedule", "cached"), ("Schedule", "runner")
    }  # fmt: skip
    assert {bool(p.head.get("hidden")) for p in dense} == {True, False}


@pytest.mark.slow
def test_every_probe_runs_and_its_card_says_how_far_the_seeds_are_apart(small, backbone, tmp_path):
    path, out = tmp_path / "backbone.safetensors", tmp_path / "r.json"
    export_backbone(backbone, path)
    results = run_seeds(path, small, [0, 1], out)
    assert results == json.loads(out.read_text())
    names = list(small.probes)
    assert [(r["name"], r["card"]["seed"]) for r in results] == [(n, s) for s in (0, 1) for n in names]
    by_seed = {(r["name"], r["card"]["seed"]): r for r in results}
    for name in names:
        first, second = by_seed[name, 0], by_seed[name, 1]
        spread = first["card"]["over_seeds"]
        assert spread == second["card"]["over_seeds"] and spread["seeds"] == [0, 1]
        score = next(iter(first["scores"]))
        values = first["scores"][score], second["scores"][score]
        assert spread[score]["half_range"] == pytest.approx(abs(values[0] - values[1]) / 2)
        exact = name in ("segmentation", "depth", "classification", "knn", "embedding", "retrieval")
        assert (spread[score]["half_range"] == 0) or not exact, "nothing is left to chance"
    assert by_seed["depth_sgd", 0]["card"]["over_seeds"]["RMSE"]["half_range"] > 0
    lines = table(results).splitlines()
    assert len(lines) == len(names) and all("±" in line and "2 seeds" in line for line in lines)


def test_spread_is_mean_sample_deviation_and_half_range():
    results = [
        {"scores": {"a": value, "b": other}, "card": {"seed": seed}}
        for seed, (value, other) in enumerate([(1.0, 5.0), (2.0, None), (6.0, 5.0)])
    ]
    assert over_seeds(results) == {
        "seeds": [0, 1, 2],
        "a": {"mean": 3.0, "std": pytest.approx(7**0.5), "half_range": 2.5},
    }


@pytest.mark.parametrize("seeds", [[], [1, 1]])
def test_seeds_that_show_no_spread(small, backbone, seeds):
    with pytest.raises(ValueError, match="each once"):
        run_seeds(backbone, small, seeds)


def test_the_command_takes_seeds_and_one_seed_leaves_the_card_alone(backbone, scenes, tmp_path, capsys):
    path, out = tmp_path / "backbone.safetensors", tmp_path / "r.json"
    export_backbone(backbone, path)
    train, val = (f"probes.knn.{split}={scenes / 'imagenet' / split}" for split in ("train", "val"))
    command = [str(CONFIG), "--backbone", str(path), "--out", str(out), "--only", "knn", "--cfg-options", train, val]
    main([*command, "probes.knn.k=[3]", "device=cpu"])
    assert "over_seeds" not in json.loads(out.read_text())[0]["card"]
    main([*command, "probes.knn.k=[3]", "device=cpu", "--seeds", "0", "4"])
    assert [r["card"]["over_seeds"]["seeds"] for r in json.loads(out.read_text())] == [[0, 4]] * 2
    assert "2 seeds" in capsys.readouterr().out
