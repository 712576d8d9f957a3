"""Dense probes see the images that training sees."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from mmcv.transforms import LoadImageFromFile
from PIL import Image

from vssl.datasets import SegmentationImages
from vssl.datasets.files import UnreadableImage, read_image
from vssl.probes.datasets import ClassFolder, SceneSegmentation
from vssl.probes.decoded_images import ProbeData
from vssl.probes.dense.reading import with_own_reader
from vssl.probes.dense.segmentation import SegmentationProbe
from vssl.probes.frozen_backbone import FrozenBackbone
from vssl.probes.image.classification import KNNProbe


@pytest.fixture
def split(segmentation, scenes, tmp_path) -> dict:
    """A split of which images may be changed, at the size that the files have."""
    shutil.copytree(scenes, tmp_path / "s")
    config = segmentation["train"]
    config["data_root"] = str(tmp_path / "s" / "ade20k")
    config["pipeline"] = [step for step in config["pipeline"] if step["type"].__name__ != "Resize"]
    return config


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
def test_images_of_every_extension_are_found(split):
    files = [Path(file) for file in ProbeData().dense(split).files()]
    for file, suffix in zip(files, (".jpeg", ".JPG", ".png"), strict=False):
        file.rename(file.with_suffix(suffix))
    assert [Path(file).stem for file in ProbeData().dense(split).files()] == [file.stem for file in files]


@pytest.mark.slow
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


def test_a_probe_of_one_class_is_refused(folders, tmp_path):
    for split in ("train", "val"):
        shutil.copytree(sorted(Path(folders[split]).iterdir())[0], tmp_path / split / "only")
    with pytest.raises(ValueError, match=r"one class alone \(only\): every answer would be right"):
        KNNProbe(**{**folders, "train": str(tmp_path / "train"), "val": str(tmp_path / "val")}, k=[1]).load(ProbeData())


def test_features_that_are_not_finite_are_refused(backbone):
    frozen = FrozenBackbone(backbone)
    frozen.vit.blocks[0].attn.proj.bias.data[0] = float("nan")
    with pytest.raises(ValueError, match="features of backbone vit_tiny_patch16_224 are not finite"):
        frozen.pooled(torch.rand(2, 3, 32, 32), "avg")


def test_a_class_token_that_is_not_finite_is_refused_where_patches_are(backbone):
    frozen = FrozenBackbone(backbone)
    look = frozen.vit.forward_intermediates

    def broken(*args, **kwargs):
        return [(patches, torch.full_like(prefix, float("nan"))) for patches, prefix in look(*args, **kwargs)]

    frozen.vit.forward_intermediates = broken
    with pytest.raises(ValueError, match="are not finite"):
        frozen.pooled(torch.rand(2, 3, 32, 32), "class")


def listed_names(root, **settings):
    prefix = dict(img_path="images/training", seg_map_path="annotations/training")
    dataset = SceneSegmentation(data_root=str(root), data_prefix=prefix, pipeline=[], **settings)
    infos = [dataset.get_data_info(i) for i in range(len(dataset))]
    return [(Path(info["img_path"]).name, Path(info["seg_map_path"]).name) for info in infos]


@pytest.mark.slow
def test_suffixes_of_more_than_an_extension_pair_images_and_labels(scenes, tmp_path):
    root = Path(shutil.copytree(scenes / "ade20k", tmp_path / "ade20k"))
    shutil.copy(scenes / "dataset.json", root)
    images, labels = (sorted((root / kind / "training").iterdir()) for kind in ("images", "annotations"))
    for image, label in zip(images, labels, strict=True):
        image.rename(image.with_name(f"{image.stem}_leftImg8bit.png"))
        label.rename(label.with_name(f"{label.stem}_gtFine.png"))
    Image.new("RGB", (8, 8)).save(root / "images/training/aside.png")
    found = listed_names(root, img_suffix="_leftImg8bit.png", seg_map_suffix="_gtFine.png")
    assert found == [(f"{image.stem}_leftImg8bit.png", f"{image.stem}_gtFine.png") for image in images]


@pytest.mark.slow
def test_a_list_of_names_takes_images_of_every_extension(scenes, tmp_path):
    root = Path(shutil.copytree(scenes / "ade20k", tmp_path / "ade20k"))
    shutil.copy(scenes / "dataset.json", root)
    images = sorted((root / "images/training").iterdir())
    images[1].rename(images[1].with_suffix(".JPEG"))
    (root / "some.txt").write_text(f"{images[2].stem}\n{images[1].stem}.JPEG\n\n")
    found = listed_names(root, ann_file="some.txt")
    assert [image for image, _ in found] == [images[2].name, f"{images[1].stem}.JPEG"]
    (root / "some.txt").write_text("nobody\n")
    with pytest.raises(FileNotFoundError, match=r"some\.txt: 1 of its names are no images, e\.g\. nobody"):
        listed_names(root, ann_file="some.txt")


def test_two_images_of_one_label_are_refused_by_training_and_probes(scenes, tmp_path):
    root = Path(shutil.copytree(scenes / "ade20k", tmp_path / "ade20k"))
    shutil.copy(scenes / "dataset.json", root)
    image = sorted((root / "images/training").iterdir())[0]
    Image.open(image).save(image.with_suffix(".png"))
    for read in (lambda: listed_names(root), lambda: SegmentationImages(root, "training")):
        with pytest.raises(ValueError, match=rf"{image.stem}\.jpg and {image.stem}\.png would have the same label"):
            read()
