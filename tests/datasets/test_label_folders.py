"""Label files among unlabeled images are refused; pictures in a folder of such a name are not."""

import numpy as np
import pytest
from PIL import Image

from vssl.datasets import UnlabeledImages
from vssl.datasets.prepare.shard_packing import prepare_shards


def picture(path, mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (8, 8) if mode == "L" else (8, 8, 3)
    Image.fromarray(np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)).save(path)


def label(path, kind):
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(0).integers(0, 5, (8, 8))
    arrays = {
        "grey": values.astype(np.uint8),
        "16 bits": (1000 * values).astype(np.uint16),
        "colours": np.dstack([40 * values] * 3).astype(np.uint8),
    }
    Image.fromarray(arrays[kind]).save(path)


@pytest.mark.parametrize("folder", ["annotations", "labels", "SegmentationClass", "gtFine", "depth", "part1/masks"])
@pytest.mark.parametrize("kind", ["grey", "16 bits", "colours"])
def test_label_files_are_refused_wherever_they_lie(tmp_path, folder, kind):
    for number in range(4):
        picture(tmp_path / "JPEGImages" / f"{number}.jpg")
        label(tmp_path / folder / f"{number}.png", kind)
    with pytest.raises(ValueError, match=r"4 of its 8 images are below \w+/.*Give .*JPEGImages, or rename"):
        UnlabeledImages(tmp_path, 8)


def test_the_folder_of_the_labels_itself_is_refused(tmp_path):
    picture(tmp_path / "images" / "training" / "0.jpg")
    label(tmp_path / "annotations" / "training" / "0.png", "grey")
    with pytest.raises(ValueError, match=r"1 of its 1 images.*Give .*images"):
        UnlabeledImages(tmp_path / "annotations", 8)


@pytest.mark.parametrize("path", ["mask/{}.jpg", "my_annotations/{}.png", "depth/{}.png"])
def test_pictures_are_not_taken_for_labels(tmp_path, path):
    for number in range(3):
        picture(tmp_path / path.format(number))
    assert len(UnlabeledImages(tmp_path, 8)) == 3


def test_grey_pictures_elsewhere_are_pictures(tmp_path):
    picture(tmp_path / "x-ray" / "0.png", "L")
    assert len(UnlabeledImages(tmp_path, 8)) == 1


def test_an_image_too_large_to_decode_does_not_end_the_look_at_a_folder(tmp_path, monkeypatch):
    for number in range(3):
        picture(tmp_path / "depth" / f"{number}.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    assert len(UnlabeledImages(tmp_path, 8)) == 3  # named when it is read


def test_labels_are_not_packed_into_shards(tmp_path):
    picture(tmp_path / "all/images/0.jpg")
    label(tmp_path / "all/masks/0.png", "grey")
    with pytest.raises(ValueError, match="holds labels too"):
        prepare_shards(tmp_path / "all", tmp_path / "shards")
    assert not (tmp_path / "shards").exists()
