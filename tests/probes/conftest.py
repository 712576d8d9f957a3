"""Miniature data in the three real layouts, and small backbones to look at them."""

import json
import string

import vssl.probes  # noqa: F401  before mmseg: it makes mmseg importable

# isort: split
import numpy as np
import pytest
import torch
from mmcv.transforms import LoadImageFromFile
from mmseg.datasets.transforms import LoadAnnotations, LoadDepthAnnotation, PackSegInputs, Resize
from PIL import Image

from vssl.learner import TimmBackbone, export_backbone
from vssl.probes.datasets import NYUDepth, SceneSegmentation

CLASSES = ("floor", "wall", "ball")
COLOURS = np.array([[200, 60, 60], [60, 200, 60], [60, 60, 200]])


def scene(rng: np.random.Generator, size: int = 32) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Three coloured regions: image, labels 1..3 with some 0, depth in mm by class with some 0, main object's side."""
    labels = np.full((size, size), 2)
    labels[rng.integers(size // 3, 2 * size // 3) :] = 1
    row, column = rng.integers(0, size // 2, 2)
    labels[row : row + size // 2, column : column + size // 2] = 3
    image = COLOURS[labels - 1] + rng.integers(-20, 20, (size, size, 3))
    depth = np.array([0, 1500, 4000, 2500])[labels]
    labels[:2], depth[:, :2] = 0, 0
    image = image.clip(0, 255).astype(np.uint8)
    return image, labels.astype(np.uint8), depth.astype(np.uint16), int(column > size // 4)


def write_scenes(root, train: int = 12, val: int = 6, size: int = 32) -> None:
    rng = np.random.default_rng(0)
    for ade, nyu, net, count in (("training", "train", "train", train), ("validation", "test", "val", val)):
        for i in range(count):
            image, labels, depth, side = scene(rng, size)
            letter = string.ascii_lowercase[i]
            places = {
                f"ade20k/images/{ade}/s{i:03d}.jpg": image,
                f"ade20k/annotations/{ade}/s{i:03d}.png": labels,
                f"nyuv2/images/{nyu}/room_{letter}.jpg": image,  # without a digit: mmseg's own dataset stumbles
                f"nyuv2/annotations/{nyu}/room_{letter}.png": depth,
                f"imagenet/{net}/{('left', 'right')[side]}/{i:03d}.jpg": image,
            }
            for name, array in places.items():
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(array).save(root / name, **({"quality": 95} if name.endswith("jpg") else {}))
    (root / "dataset.json").write_text(json.dumps({"name": "scenes", "seed": 0, "classes": CLASSES}))


@pytest.fixture(scope="session")
def scenes(tmp_path_factory):
    root = tmp_path_factory.mktemp("scenes")
    write_scenes(root)
    return root


def tiny(seed: int = 0, **args) -> TimmBackbone:
    torch.manual_seed(seed)
    size = dict(img_size=32, patch_size=8, embed_dim=24, depth=3, num_heads=2)
    return TimmBackbone("vit_tiny_patch16_224", aligned_blocks=1, **{**size, **args})


@pytest.fixture(scope="session")
def backbone():
    return tiny()


@pytest.fixture
def backbone_file(tmp_path, backbone):
    path = tmp_path / "backbone.safetensors"
    export_backbone(backbone, path)
    return path


def dense_data(root, task: str, split: str) -> dict:
    """mmseg dataset config of a split of the miniature data, without randomness."""
    size = dict(type=Resize, scale=(32, 32))
    if task == "segmentation":
        label, kind, folder, key = dict(type=LoadAnnotations), SceneSegmentation, "ade20k", "seg_map_path"
    else:
        label, kind = dict(type=LoadDepthAnnotation, depth_rescale_factor=1e-3), NYUDepth
        folder, key = "nyuv2", "depth_map_path"
    return dict(
        type=kind,
        data_root=str(root / folder),
        data_prefix={"img_path": f"images/{split}", key: f"annotations/{split}"},
        pipeline=[dict(type=LoadImageFromFile), label, size, dict(type=PackSegInputs)],
    )


ADAM = dict(optimizer=dict(type=torch.optim.AdamW, lr=1e-2, weight_decay=1e-3), steps=40, batch_size=None)


@pytest.fixture
def segmentation(scenes):
    """Arguments of a `SegmentationProbe` on the miniature data."""
    splits = {k: dense_data(scenes, "segmentation", v) for k, v in (("train", "training"), ("val", "validation"))}
    return dict(**splits, size=(32, 32), schedule=dict(ADAM), head=dict(init_std=0.0))


@pytest.fixture
def depth(scenes):
    """Arguments of a `DepthProbe` on the miniature data."""
    splits = {k: dense_data(scenes, "depth", v) for k, v in (("train", "train"), ("val", "test"))}
    return dict(**splits, size=(32, 32), schedule=dict(ADAM), head=dict(init_std=0.0))


@pytest.fixture
def folders(scenes):
    """Arguments of a `FolderProbe` on the miniature data."""
    return dict(train=str(scenes / "imagenet/train"), val=str(scenes / "imagenet/val"), size=32)
