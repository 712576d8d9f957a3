"""Dense probes see the images that training sees."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from mmcv.transforms import LoadImageFromFile
from PIL import Image

from vssl.datasets.files import UnreadableImage, read_image
from vssl.probes.data import ProbeData
from vssl.probes.reading import with_own_reader


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
