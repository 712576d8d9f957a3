"""Labeled layouts: round trip from the renderer, units, the one label shift, and errors that name the file."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vssl.datasets import DepthImages, SegmentationImages, UnreadableImage, joint_transform
from vssl.datasets.scenes import SPLITS, render


def layout(root: Path, split: str, images: dict[str, np.ndarray], annotations: dict[str, np.ndarray]) -> Path:
    for kind, extension, files in (("images", "jpg", images), ("annotations", "png", annotations)):
        folder = root / kind / split
        folder.mkdir(parents=True)
        for name, array in files.items():
            Image.fromarray(array).save(folder / f"{name}.{extension}")
    return root


def grey(h: int, w: int) -> np.ndarray:
    return np.full((h, w, 3), 128, np.uint8)


def test_rendered_labels_come_back_shifted_once(scenes):
    dataset = SegmentationImages(scenes / "ade20k", "training")
    assert len(dataset) == 6
    for index in range(6):
        scene = render(0, SPLITS["ade_train"].stream, index, 32)
        image, labels = dataset[index]
        counted = labels != 255
        assert image.dtype == torch.uint8 and labels.dtype == torch.int64 and labels.shape == (32, 32)
        assert (labels[counted] == torch.from_numpy(scene.labels.astype(np.int64) - 1)[counted]).all()
        assert counted.float().mean() > 0.7
        error = image.permute(1, 2, 0).float() - torch.from_numpy(scene.image).float()
        assert error.abs().mean() < 8  # JPEG


def test_rendered_depth_comes_back_in_metres(scenes):
    dataset = DepthImages(scenes / "nyuv2", "test")
    for index in range(4):
        scene = render(0, SPLITS["nyu_val"].stream, index, 32)
        image, depth = dataset[index, 99]
        valid = depth > 0
        assert image.shape == (3, 32, 32) and depth.dtype == torch.float32 and depth.shape == (32, 32)
        assert (depth - torch.from_numpy(scene.depth))[valid].abs().max() < 6e-4
        assert 0 < (~valid).float().mean() < 0.5


def test_labels_zero_one_last_and_255(tmp_path):
    label = np.array([[0, 1], [150, 255]], np.uint8)
    root = layout(tmp_path, "training", {"a": grey(2, 2)}, {"a": label})
    assert SegmentationImages(root, "training")[0][1].tolist() == [[255, 0], [149, 255]]


def test_palette_labels_are_their_indices(tmp_path):
    root = layout(tmp_path, "training", {"a": grey(2, 2)}, {"a": np.zeros((2, 2), np.uint8)})
    image = Image.fromarray(np.array([[1, 2], [3, 0]], np.uint8), mode="P")
    image.putpalette([9, 9, 9] * 256)
    image.save(root / "annotations/training/a.png")
    assert SegmentationImages(root, "training")[0][1].tolist() == [[0, 1], [2, 255]]


def test_limit_and_subset_choose_by_name(scenes):
    whole = SegmentationImages(scenes / "ade20k", "training")
    assert len(SegmentationImages(scenes / "ade20k", "training", limit=2)) == 2
    chosen = SegmentationImages(scenes / "ade20k", "training", subset=[4, 1])
    assert [chosen.paths(k) for k in range(2)] == [whole.paths(4), whole.paths(1)]
    for settings in (dict(limit=7), dict(limit=0), dict(subset=[6]), dict(subset=[]), dict(limit=1, subset=[0])):
        with pytest.raises(ValueError, match="split training"):
            SegmentationImages(scenes / "ade20k", "training", **settings)


def test_a_transform_is_drawn_by_position_alone(scenes):
    dataset = DepthImages(scenes / "nyuv2", "train", transform=joint_transform(16, scale=(0.2, 0.5)))
    first, again, other = dataset[2, 5], dataset[2, 5], dataset[2, 6]
    assert first[0].shape == (3, 16, 16) and first[1].shape == (16, 16)
    assert torch.equal(first[0], again[0]) and torch.equal(first[1], again[1])
    assert not torch.equal(first[0], other[0])
    assert torch.equal(dataset[2][1], dataset[2, 2][1])  # a plain index is its own position


@pytest.mark.parametrize(("kind", "split"), [(SegmentationImages, "training"), (DepthImages, "train")])
def test_missing_folders_say_what_is_there_and_what_to_do(tmp_path, kind, split):
    with pytest.raises(
        FileNotFoundError, match=r"nowhere: no such folder \(.* holds: .*\)\. Run python tools/prepare_data\.py"
    ):
        kind(tmp_path / "nowhere", split)
    (tmp_path / "root" / "images" / "wrong").mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match=rf"no images under images/{split} \(found: images/wrong\)\. Run"):
        kind(tmp_path / "root", split)
    (tmp_path / "root" / "images" / split).mkdir()
    with pytest.raises(FileNotFoundError, match=rf"no annotations under annotations/{split} \(found: images/\)"):
        kind(tmp_path / "root", split)
    (tmp_path / "root" / "annotations" / split).mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match=rf"no images under images/{split} \(it is empty\)"):
        kind(tmp_path / "root", split)


def test_the_other_layouts_split_name_is_explained(scenes):
    with pytest.raises(FileNotFoundError, match="splits of this layout: training, validation"):
        SegmentationImages(scenes / "ade20k", "train")


def test_an_image_without_annotation_is_named_at_once(scenes, tmp_path):
    root = shutil.copytree(scenes / "ade20k", tmp_path / "ade")
    (root / "annotations/training/scene_000003.png").unlink()
    with pytest.raises(
        FileNotFoundError,
        match=r"1 of 6 images .* have no label, e\.g\. scene_000003\.jpg needs .*\.png",
    ):
        SegmentationImages(root, "training")


def test_an_annotation_of_another_size_is_named_with_both_sizes(tmp_path):
    root = layout(tmp_path, "training", {"a": grey(10, 20)}, {"a": np.ones((20, 10), np.uint8)})
    with pytest.raises(UnreadableImage, match=r"a\.png: 10 × 20 pixels, but its image .*a\.jpg has 20 × 10"):
        SegmentationImages(root, "training")[0]


def test_a_corrupt_annotation_is_named(scenes, tmp_path):
    root = shutil.copytree(scenes / "ade20k", tmp_path / "ade")
    path = root / "annotations/training/scene_000000.png"
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(UnreadableImage, match=r"scene_000000\.png: not a readable image"):
        SegmentationImages(root, "training")[0]


def test_colour_labels_and_16_bit_labels_are_refused(tmp_path):
    for name, array in (("rgb", grey(4, 4)), ("deep", np.ones((4, 4), np.uint16))):
        root = layout(tmp_path / name, "training", {"a": grey(4, 4)}, {"a": array})
        with pytest.raises(UnreadableImage, match=r"a\.png: expected 8-bit labels in one channel"):
            SegmentationImages(root, "training")[0]


def test_8_bit_depth_is_refused(tmp_path):
    root = layout(tmp_path, "train", {"a": grey(4, 4)}, {"a": np.full((4, 4), 200, np.uint8)})
    with pytest.raises(UnreadableImage, match=r"a\.png: expected 16-bit depth, got .* mode L"):
        DepthImages(root, "train")[0]
