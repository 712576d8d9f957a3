"""The command on miniature data, with the scenes config itself."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from vssl.probes.command import main

ROOT = Path(__file__).parents[2]
CONFIG = str(ROOT / "configs/probes/scenes.py")


@pytest.fixture
def options(scenes) -> list[str]:
    """The scenes config on the miniature data: other folders, smaller images, fewer neighbours."""
    found = ["device=cpu", "probes.knn.k=[3]"]
    for task, folder in (("segmentation", "ade20k"), ("depth", "nyuv2")):
        found += [f"probes.{task}.{split}.data_root={scenes / folder}" for split in ("train", "val")]
    for task in ("classification", "knn"):
        found += [f"probes.{task}.{split}={scenes / 'imagenet' / split}" for split in ("train", "val")]
        found += [f"probes.{task}.data_root={scenes}"]
    return ["--cfg-options", *found]


def test_one_command_scores_a_backbone_with_every_probe(backbone_file, options):
    command = [sys.executable, "tools/probe.py", "configs/probes/scenes.py", "--backbone", str(backbone_file), *options]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=True)
    out = backbone_file.parent / "probes/scenes.json"
    results = {r["name"]: r for r in json.loads(out.read_text())}
    assert list(results) == ["segmentation", "depth", "classification", "knn"]
    assert [next(iter(r["scores"])) for r in results.values()] == ["mIoU", "RMSE", "top1", "knn_top1"]
    assert all(r["backbone"] == str(backbone_file) and r["card"]["seed"] == 0 for r in results.values())
    assert all(line in done.stdout for line in ("mIoU", "RMSE", "top1", "knn_top1", str(out)))
    assert {"image", "seg_label", "seg_pred", "depth_image", "depth_label", "depth_pred"} <= set(
        np.load(out.with_suffix(".npz"))
    )


def test_only_adds_to_earlier_results_and_random_weights_get_their_own_row(backbone_file, options, tmp_path):
    out = str(tmp_path / "r.json")
    main([CONFIG, "--backbone", str(backbone_file), "--out", out, "--only", "knn", *options])
    main([CONFIG, "--backbone", str(backbone_file), "--random", "1", "--out", out, "--only", "knn", *options])
    names = [r["backbone"] for r in json.loads(Path(out).read_text())]
    assert names == [str(backbone_file), f"{backbone_file}, random weights 1"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([CONFIG], "no backbone"),
        ([CONFIG, "--backbone", "nowhere.safetensors"], r"nowhere\.safetensors does not exist"),
        (["nowhere.py", "--backbone", "FILE"], r"nowhere\.py does not exist"),
        ([CONFIG, "--backbone", "FILE", "--model", "vit_tiny_patch16_224"], "another architecture"),
        ([CONFIG, "--backbone", "FILE", "--model-args", "img_size=64"], "--model-args needs --model"),
        ([CONFIG, "--backbone", "FILE", "--only", "retrieval"], r"no probes \['retrieval'\]"),
        ([CONFIG, "--backbone", "FILE", "--cfg-options", "steps=3"], "--cfg-options steps"),
        ([CONFIG, "--backbone", "FILE", "--cfg-options", "probes.knn.neighbours=3"], r"unknown keys \['neighbours'\]"),
        ([CONFIG, "--backbone", "FILE", "--cfg-options", "probes.depth.head.width=3"], "depth.*width"),
        ([CONFIG, "--backbone", "FILE", "--cfg-options", "probes.depth.schedule.steps=3"], "steps"),
        (
            [CONFIG, "--backbone", "FILE", "--only", "depth", "--cfg-options", "probes.depth.train.data_root=none"],
            "none: no folder",
        ),
    ],
)
def test_mistakes_end_with_one_line_before_any_work(arguments, message, backbone_file, monkeypatch, tmp_path):
    monkeypatch.setattr("vssl.probes.dense.DenseProbe.run", None)
    monkeypatch.setattr("vssl.probes.classification.FolderProbe.features", None)
    arguments = [str(backbone_file) if a == "FILE" else a for a in arguments]
    with pytest.raises(SystemExit, match=message):
        main([*arguments, "--out", str(tmp_path / "r.json")])
    assert not (tmp_path / "r.json").exists()


def test_out_that_is_something_else_is_refused_before_any_work(backbone_file, options, tmp_path):
    (tmp_path / "r.json").write_text("notes")
    with pytest.raises(SystemExit, match="not a list of probe results"):
        main([CONFIG, "--backbone", str(backbone_file), "--out", str(tmp_path / "r.json"), *options])
    assert (tmp_path / "r.json").read_text() == "notes"
