"""The command on miniature data, with the scenes config itself."""

import copy
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config

from vssl.commands.probe import main
from vssl.learner import export_backbone
from vssl.probes.dense.depth import DepthProbe
from vssl.probes.dense.segmentation import SegmentationProbe
from vssl.probes.result_lines import table
from vssl.probes.run import build_probes, run_probes

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


@pytest.mark.slow
def test_one_command_scores_a_backbone_with_every_probe(backbone_file, options):
    command = [sys.executable, "tools/probe.py", "configs/probes/scenes.py", "--backbone", str(backbone_file), *options]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "VSSL_RESULTS": str(backbone_file.parent / "results.sqlite")}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=True)
    out = backbone_file.parent / "probes/scenes.json"
    results = {r["name"]: r for r in json.loads(out.read_text())}
    assert list(results) == ["segmentation", "depth", "classification", "knn"]
    assert [next(iter(r["scores"])) for r in results.values()] == ["mIoU", "RMSE", "top1", "knn_top1"]
    assert all(r["backbone"] == str(backbone_file) and r["card"]["seed"] == 0 for r in results.values())
    assert all(line in done.stdout for line in ("mIoU", "RMSE", "top1", "knn_top1", str(out), "results.sqlite: 4 new"))
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
        ([CONFIG, "--backbone", "FILE", "--cfg-options", "probes.knn.neighbours=3"], r"unknown key 'neighbours'"),
        ([CONFIG, "--backbone", "FILE", "--cfg-options", "probes.depth.head.width=3"], "depth.*width"),
        ([CONFIG, "--backbone", "FILE", "--cfg-options", "probes.depth.schedule.steps=3"], "steps"),
        (
            [CONFIG, "--backbone", "FILE", "--only", "depth", "--cfg-options", "probes.depth.train.data_root=none"],
            "none: no such folder",
        ),
    ],
)
def test_mistakes_end_with_one_line_before_any_work(
    arguments, message, backbone_file, options, monkeypatch, tmp_path, capsys
):
    monkeypatch.setattr("vssl.probes.dense.base.DenseProbe.run", None)
    monkeypatch.setattr("vssl.probes.image.classification.FolderProbe.features", None)
    config, *arguments = [str(backbone_file) if a == "FILE" else a for a in arguments]
    assert main([config, *options, *arguments, "--out", str(tmp_path / "r.json")]) == 1
    assert re.search(message, capsys.readouterr().err)
    assert not (tmp_path / "r.json").exists()


def test_out_that_is_something_else_is_refused_before_any_work(backbone_file, options, tmp_path, capsys):
    (tmp_path / "r.json").write_text("notes")
    assert main([CONFIG, "--backbone", str(backbone_file), "--out", str(tmp_path / "r.json"), *options]) == 1
    assert "not a list of probe results" in capsys.readouterr().err
    assert (tmp_path / "r.json").read_text() == "notes"


@pytest.mark.slow
def test_a_killed_run_resumes_finished_probes_and_the_interrupted_one(backbone_file, scenes, tmp_path):
    """SIGKILL while the second probe trains: the first is kept, the second goes on from its checkpoint."""
    config = tmp_path / "two.py"
    config.write_text(TWO_PROBES.format(scenes=scenes))
    out, environment = tmp_path / "r.json", {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-u", "tools/probe.py", str(config), "--backbone", str(backbone_file), "--out", str(out)]
    running = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    line = next(line for line in running.stdout if line.startswith("step 10/"))
    running.kill()
    running.wait()
    first = json.loads(out.read_text())
    checkpoint = Path(line.split()[-1])
    assert [r["name"] for r in first] == ["segmentation"] and checkpoint.is_file()

    done = subprocess.run([*command, "--resume"], cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    results = json.loads(out.read_text())
    assert results[0] == first[0] and [r["name"] for r in results] == ["segmentation", "depth"]
    steps = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("step ")]
    assert steps and int(steps[0].split("/")[0]) > 10  # not from the start, and the first probe not at all
    assert not checkpoint.exists()

    cfg = Config.fromfile(config)
    (through,) = run_probes(backbone_file, cfg, only=["depth"])
    assert results[1]["scores"] == pytest.approx(through["scores"], rel=1e-6)


@pytest.mark.slow
def test_resume_measures_again_what_has_changed(backbone_file, backbone, options, tmp_path):
    out = str(tmp_path / "r.json")
    command = [CONFIG, "--backbone", str(backbone_file), "--out", out, "--only", "knn", "--resume", *options]

    def seconds(*more: str) -> float:
        main([*command, *more])
        (result,) = json.loads(Path(out).read_text())
        return result["seconds"]

    first = seconds()
    assert seconds() == first == seconds("probes.knn.batch_size=3", "probes.knn.num_workers=0")
    other = seconds("probes.knn.temperature=0.1")
    assert other != first and seconds("probes.knn.temperature=0.1") == other
    changed = copy.deepcopy(backbone)
    changed.vit.norm.bias.data += 1
    export_backbone(changed, backbone_file)  # another backbone under the same name
    assert seconds("probes.knn.temperature=0.1") != other


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["corrupt", "missing"])
def test_a_label_that_cannot_be_read_is_named_at_the_start_whatever_the_path(
    damage, backbone_file, scenes, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr("vssl.probes.dense.base.DenseProbe.run", None)
    shutil.copytree(scenes, tmp_path / "s")
    label = tmp_path / "s/nyuv2/annotations/test/room_c.png"
    label.write_bytes(label.read_bytes()[:40]) if damage == "corrupt" else label.unlink()
    config = tmp_path / "two.py"
    config.write_text(TWO_PROBES.format(scenes=tmp_path / "s"))  # depth streams its images
    assert main([str(config), "--backbone", str(backbone_file)]) == 1
    assert "room_c.png" in capsys.readouterr().err


def test_the_table_says_what_a_score_leaves_out():
    result = {"name": "a", "scores": {"mIoU": 50.0}, "seconds": 1.0}
    lines = table(
        [
            {**result, "left_out": SegmentationProbe.left_out(None, {"classes_seen": 3, "classes": 150})},
            {**result, "left_out": SegmentationProbe.left_out(None, {"classes_seen": 150, "classes": 150})},
            {**result, "left_out": DepthProbe.left_out(None, {"images": 5, "images_without_valid_depth": 2})},
            result,
        ]
    ).splitlines()
    assert lines[0].endswith("only 3 of 150 classes are in the labels") and "2 images without valid depth" in lines[2]
    assert lines[1] == lines[3]


TWO_PROBES = """
import torch
from mmcv.transforms import LoadImageFromFile
from mmseg.datasets.transforms import LoadAnnotations, LoadDepthAnnotation, PackSegInputs, RandomFlip

from vssl.probes.datasets import NYUDepth, SceneSegmentation
from vssl.probes.dense.depth import DepthProbe
from vssl.probes.dense.segmentation import SegmentationProbe

device = "cpu"
load, pack = dict(type=LoadImageFromFile), dict(type=PackSegInputs)
labels, metres = dict(type=LoadAnnotations), dict(type=LoadDepthAnnotation, depth_rescale_factor=1e-3)
adam = dict(type=torch.optim.AdamW, lr=1e-2)
ade = dict(type=SceneSegmentation, data_root="{scenes}/ade20k", pipeline=[load, labels, pack])
nyu = dict(type=NYUDepth, data_root="{scenes}/nyuv2", pipeline=[load, metres, pack])
flipping = dict(type=NYUDepth, data_root="{scenes}/nyuv2")
flipping["pipeline"] = [load, metres, dict(type=RandomFlip, prob=0.5), pack]
probes = dict(
    segmentation=dict(
        type=SegmentationProbe,
        train=dict(data_prefix=dict(img_path="images/training", seg_map_path="annotations/training"), **ade),
        val=dict(data_prefix=dict(img_path="images/validation", seg_map_path="annotations/validation"), **ade),
        size=(32, 32),
        schedule=dict(optimizer=adam, steps=5),
    ),
    depth=dict(
        type=DepthProbe,
        train=dict(data_prefix=dict(img_path="images/train", depth_map_path="annotations/train"), **flipping),
        val=dict(data_prefix=dict(img_path="images/test", depth_map_path="annotations/test"), **nyu),
        size=(32, 32),
        schedule=dict(optimizer=adam, steps=40, batch_size=4),
        path="runner",
        checkpoint_interval=10,
    ),
)
"""


def test_classes_named_by_text_are_the_same_probes():
    """A probe set inside of a comparison's config comes as text."""
    config = Config.fromfile(CONFIG)
    named = Config(config.to_dict())
    assert isinstance(named.probes.knn.type, str)
    assert {n: type(p) for n, p in build_probes(named).items()} == {n: type(p) for n, p in build_probes(config).items()}
