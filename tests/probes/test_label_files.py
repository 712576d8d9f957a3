"""Label files that cannot be what a probe takes them for are refused when its data set is built, by name."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vssl.datasets import UnreadableImage
from vssl.probes.datasets import NYUDepth, SceneSegmentation

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


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("ade20k", lambda x: x - np.uint8(1), "shifted beforehand: .* hold 0 and 255, and never 3"),
        ("nyuv2", lambda x: x // 10, "fit centimetres"),
        ("nyuv2", lambda x: x // 1000, "the files hold metres"),
    ],
)
def test_shifted_labels_and_depth_in_another_unit_are_refused(scenes, tmp_path, name, change, message):
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
