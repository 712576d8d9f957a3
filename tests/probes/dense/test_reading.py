"""Dense probes see the images that training sees."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from mmcv.transforms import LoadImageFromFile
from PIL import Image

from vssl.datasets.files import UnreadableImage, read_image
from vssl.probes.backbone import FrozenBackbone
from vssl.probes.data import ProbeData
from vssl.probes.datasets import ClassFolder
from vssl.probes.dense.reading import with_own_reader
from vssl.probes.dense.segmentation import SegmentationProbe
from vssl.probes.image.classification import KNNProbe


@pytest.fixture
def split(segmentation, scenes, tmp_path) -> dict:
    """A split of which images may be changed, at the size that the files have."""
    shutil.copytree(scenes, tmp_path / "s")
    config = segmentation["train"]
    config["data_root"] = str(tmp_path / "s" / "ade20k")
    config["pipeline"] = [step for step in config["pipeline"] if step["type"].__name__ != "Resize"]
    return config


def test_a_dense_probe_reads_sixteen_bits_and_orientation_as_training_does(split):
    files = ProbeData().dense(split).files()
    grey = np.asarray(Image.open(files[0]).convert("L"))
    Image.fromarray(grey.astype(np.uint16) * 257).save(files[0], format="PNG")
    exif = Image.Exif()
    exif[0x0112] = 3
    Image.open(files[1]).convert("RGB").save(files[1], format="PNG", exif=exif)
    items = ProbeData().dense(split).items
    for item, file in list(zip(items, files, strict=True))[:2]:
        assert (item["inputs"].numpy()[::-1].transpose(1, 2, 0) == read_image(file)).all()  # BGR, channels first
    assert (items[0]["inputs"][0].numpy() == grey).all()


@pytest.mark.parametrize("content", [b"", b"<html>404</html>", None])
def test_a_broken_image_is_named(split, content):
    file = ProbeData().dense(split).files()[2]
    whole = Path(file).read_bytes()
    Path(file).write_bytes(whole[: len(whole) // 2] if content is None else content)
    with pytest.raises(UnreadableImage, match=file):
        ProbeData().dense(split)


def test_settings_of_another_reader_are_refused_by_name():
    assert [step["type"].__name__ for step in with_own_reader([dict(type="LoadImageFromFile")])] == ["ReadImage"]
    with pytest.raises(ValueError, match="color_type, to_float32"):
        with_own_reader([dict(type=LoadImageFromFile, to_float32=True, color_type="grayscale")])


def test_images_of_every_extension_are_found(split):
    files = [Path(file) for file in ProbeData().dense(split).files()]
    for file, suffix in zip(files, (".jpeg", ".JPG", ".png"), strict=False):
        file.rename(file.with_suffix(suffix))
    assert [Path(file).stem for file in ProbeData().dense(split).files()] == [file.stem for file in files]


def test_training_images_are_not_validated_on(segmentation, folders):
    with pytest.raises(ValueError, match=r"12 of the 12 validation images are training images too, e\.g\. "):
        SegmentationProbe(**{**segmentation, "val": segmentation["train"]}).load(ProbeData())
    with pytest.raises(ValueError, match="are training images too"):
        KNNProbe(**{**folders, "val": folders["train"]}, k=[1]).load(ProbeData())


def test_class_folders_that_are_splits_are_refused_and_hidden_ones_ignored(scenes, tmp_path):
    with pytest.raises(ValueError, match="class folders are train, val, which are splits"):
        ClassFolder(scenes / "imagenet")
    root = shutil.copytree(scenes / "imagenet/train", tmp_path / "train")
    classes = ClassFolder(root).classes
    (root / ".ipynb_checkpoints").mkdir()
    (root / classes[0] / "._a.jpg").write_bytes(b"x")
    assert ClassFolder(root).classes == classes
    assert len(ClassFolder(root)) == len(ClassFolder(scenes / "imagenet/train"))


def test_features_that_are_not_finite_are_refused(backbone):
    frozen = FrozenBackbone(backbone)
    frozen.vit.blocks[0].attn.proj.bias.data[0] = float("nan")
    with pytest.raises(ValueError, match="features of backbone vit_tiny_patch16_224 are not finite"):
        frozen.pooled(torch.rand(2, 3, 32, 32), "avg")
