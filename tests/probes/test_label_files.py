"""Label files that cannot be what a probe takes them for are refused when its data set is built, by name."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from mmcv.transforms import LoadImageFromFile
from mmseg.datasets.transforms import LoadAnnotations, LoadDepthAnnotation, PackSegInputs
from PIL import Image

from vssl.datasets import UnreadableImage
from vssl.probes.datasets import NYUDepth, SceneSegmentation
from vssl.probes.decoded_images import DenseSplit, ProbeData
from vssl.probes.dense.depth import DepthProbe
from vssl.probes.dense.segmentation import SegmentationProbe

SETS = {
    "ade20k": (SceneSegmentation, dict(img_path="images/training", seg_map_path="annotations/training")),
    "nyuv2": (NYUDepth, dict(img_path="images/train", depth_map_path="annotations/train")),
}


def load(root: Path, name: str):
    kind, prefix = SETS[name]
    return kind(data_root=str(root / name), data_prefix=dict(prefix), pipeline=[])


def change_labels(root: Path, name: str, change) -> None:
    for path in (root / name / "annotations").rglob("*.png"):
        Image.fromarray(change(np.asarray(Image.open(path)))).save(path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("ade20k", lambda x: x - np.uint8(1), 'hold 0 to 2 and 255, and never 3, .*label_values="0..C-1"'),
        ("nyuv2", lambda x: x // 10, r"set depth_scale.* 100 \(centimetres\) makes"),
        ("nyuv2", lambda x: x // 1000, r"set depth_scale.* 1 \(metres\) makes"),
    ],
)
def test_labels_of_another_convention_are_refused_with_the_key_that_reads_them(scenes, tmp_path, name, change, message):
    root = Path(shutil.copytree(scenes, tmp_path / "scenes"))
    assert len(load(root, name)) == 12
    change_labels(root, name, change)
    with pytest.raises(ValueError, match=message):
        load(root, name)


@pytest.mark.parametrize("name", SETS)
def test_a_broken_label_file_is_named(scenes, tmp_path, name):
    root = Path(shutil.copytree(scenes, tmp_path / "scenes"))
    path = sorted((root / name).glob("annotations/train*/*.png"))[5]
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(UnreadableImage, match=path.name):
        load(root, name)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "change", "stated"),
    [
        ("ade20k", lambda x: x - np.uint8(1), {"label_values": "0..C-1"}),
        ("nyuv2", lambda x: (x // 4).astype(np.uint16), {"depth_scale": 250}),
    ],
)
@pytest.mark.parametrize("where", ["key", "dataset.json"])
def test_another_convention_gives_the_same_labels(scenes, tmp_path, name, change, stated, where):
    root = Path(shutil.copytree(scenes, tmp_path / "scenes"))
    field = "gt_sem_seg" if name == "ade20k" else "gt_depth_map"
    before = [items(root, name)[i]["data_samples"].get(field).data for i in range(4)]
    change_labels(root, name, change)
    if where == "dataset.json":
        file = root / "dataset.json"
        about = json.loads(file.read_text()) if file.is_file() else {}
        file.write_text(json.dumps(about | stated))
    after = items(root, name, **(stated if where == "key" else {}))
    tolerance = 0 if name == "ade20k" else 0.004  # m: three of four steps are rounded away
    for index, labels in enumerate(before):
        assert torch.allclose(after[index]["data_samples"].get(field).data.double(), labels.double(), atol=tolerance)


def items(root: Path, name: str, **stated):
    kind, prefix = SETS[name]
    labels = LoadAnnotations if name == "ade20k" else LoadDepthAnnotation
    step = dict(type=labels) if name == "ade20k" else dict(type=labels, depth_rescale_factor=1e-3)
    pipeline = [dict(type=LoadImageFromFile), step, dict(type=PackSegInputs)]
    config = dict(type=kind, data_root=str(root / name), data_prefix=dict(prefix), pipeline=pipeline, **stated)
    return DenseSplit(config, keep=True).items


@pytest.mark.slow
def test_the_card_says_what_the_labels_hold(segmentation, depth):
    for probe, line in (
        (SegmentationProbe(**segmentation), 'label_values="1..C": '),
        (DepthProbe(**depth), "depth_scale=1000 steps a metre: 1.5 to 4 m, median "),
    ):
        train, _ = probe.load(ProbeData())
        assert probe.conventions(train)["labels"].startswith(line)
