"""What sets of label files show: shifted classes, wrong units, broken files; and that right sets pass."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vssl.datasets import UnreadableImage
from vssl.datasets.label_checks import DepthValues, check_class_labels, check_depth_labels, depth_counts
from vssl.datasets.scenes import CLASSES


def changed(paths: list[Path], folder: Path, change) -> list[Path]:
    """The label files with every pixel changed."""
    folder.mkdir()
    for path in paths:
        Image.fromarray(change(np.asarray(Image.open(path)))).save(folder / path.name)
    return sorted(folder.iterdir())


@pytest.fixture
def classes(scenes) -> list[Path]:
    return sorted((scenes / "ade20k/annotations/training").iterdir())


@pytest.fixture
def depths(scenes) -> list[Path]:
    return sorted((scenes / "nyuv2/annotations/train").iterdir())


def test_labels_as_published_pass_also_with_255_as_a_second_void(classes, tmp_path):
    check_class_labels(classes, len(CLASSES))
    last = max(int(np.asarray(Image.open(path)).max()) for path in classes)
    border = changed(classes, tmp_path / "border", lambda x: np.where(np.arange(x.shape[1]) < 2, np.uint8(255), x))
    check_class_labels(border, last)


def test_labels_that_were_shifted_beforehand_are_refused(classes, tmp_path):
    shifted = changed(classes, tmp_path / "shifted", lambda x: x - np.uint8(1))
    with pytest.raises(
        ValueError, match=rf"shifted beforehand: .*hold 0 and 255, and never {len(CLASSES)}\. Files hold 0"
    ):
        check_class_labels(shifted, len(CLASSES))


def test_a_label_beyond_the_classes_is_named(classes):
    with pytest.raises(ValueError, match=r"scene_\d+\.png: label \d+, but there are 3 classes"):
        check_class_labels(classes, 3)


def test_a_broken_or_missing_label_file_is_named(classes, tmp_path):
    copies = changed(classes, tmp_path / "copies", lambda x: x)
    copies[4].write_bytes(copies[4].read_bytes()[:70])
    with pytest.raises(UnreadableImage, match=copies[4].name):
        check_class_labels(copies, len(CLASSES))
    copies[2].unlink()
    with pytest.raises(FileNotFoundError, match=copies[2].name):
        check_class_labels(copies, len(CLASSES))


@pytest.mark.parametrize(
    ("millimetres_per_unit", "message"),
    [
        (1000, r"hold metres \(values 1 to \d\).*round\(1000 × metres\)"),
        (10, r"fit centimetres.*round\(1000 × metres\)"),
    ],
)
def test_depth_in_the_wrong_unit_is_refused_with_the_hint(depths, tmp_path, millimetres_per_unit, message):
    check_depth_labels(depths)
    wrong = changed(depths, tmp_path / "wrong", lambda x: (x / millimetres_per_unit).round().astype(np.uint16))
    with pytest.raises(ValueError, match=message):
        check_depth_labels(wrong)


def test_depth_without_a_valid_pixel_is_refused_and_near_scenes_pass(depths, tmp_path):
    with pytest.raises(ValueError, match="no valid depth in any of 6 files"):
        check_depth_labels(changed(depths, tmp_path / "zero", np.zeros_like))
    table_top = changed(depths, tmp_path / "near", lambda x: (400 + x % 500).astype(np.uint16))
    check_depth_labels(table_top)


@pytest.mark.parametrize("per_metre", [10000, 20000])
def test_depth_out_of_range_is_refused_with_its_share_and_range(depths, tmp_path, per_metre):
    check_depth_labels(depths).check_metres("x", 1e-3, 10)
    other = changed(
        depths, tmp_path / "other", lambda x: (x * (per_metre / 1000)).round().clip(0, 65535).astype(np.uint16)
    )
    found = check_depth_labels(other)
    with pytest.raises(ValueError, match=r"x: \d+ % of the valid pixels lie outside 0.001 to 10 m; with 1000 steps"):
        found.check_metres("x", 1e-3, 10)
    found.check_metres("x", 1e-3, 10, per_metre)


def test_some_depth_out_of_range_is_said():
    found = DepthValues()
    found.add(depth_counts(np.repeat(np.array([[5000], [12000]]), [9, 1], axis=0)))
    with pytest.warns(UserWarning, match=r"x: 10 % of the valid pixels lie outside 0.001 to 10 m.*do not count"):
        found.check_metres("x", 1e-3, 10)


def test_single_wrong_pixels_do_not_hide_the_unit():
    centimetres = np.random.default_rng(0).integers(70, 1000, (480, 640))
    centimetres[0, :20] = 60000
    found = DepthValues()
    found.add(depth_counts(centimetres))
    with pytest.raises(ValueError, match="centimetres"):
        found.check("x")


def test_nearest_and_farthest_are_percentiles_of_the_valid_pixels():
    values = np.random.default_rng(0).integers(0, 9000, (480, 640))
    found = DepthValues()
    found.add(depth_counts(values[:240]))
    found.add(depth_counts(values[240:]))
    near, far = np.percentile(values[values > 0], [1, 99.9])
    assert found.nearest_and_farthest() == pytest.approx((near, far), abs=1.5)
    assert found.files == 2 and found.without == 0
