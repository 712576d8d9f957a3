"""What sets of label files show: shifted classes, wrong units, broken files; and that right sets pass."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vssl.datasets import UnreadableImage, conventions
from vssl.datasets.conventions import Convention
from vssl.datasets.files import DataWarning
from vssl.datasets.label_checks import (
    ClassValues,
    DepthValues,
    check_class_labels,
    check_depth_labels,
    class_counts,
    depth_counts,
)
from vssl.datasets.scenes import CLASSES

FROM_0, MASK = Convention("0..C-1", stated=True), Convention("0/255", stated=True)


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


def test_labels_that_count_from_0_are_said_for_what_they_are_and_read_with_their_key(classes, tmp_path):
    counts = len(CLASSES)
    from_0 = changed(classes, tmp_path / "from_0", lambda x: x - np.uint8(1))
    with pytest.raises(ValueError, match=rf"0 to 13 and 255, and never {counts}, as labels that count from 0.*0..C-1"):
        check_class_labels(from_0, counts)
    published = check_class_labels(classes, counts).shares(counts, "1..C")
    assert check_class_labels(from_0, counts, FROM_0).shares(counts, "0..C-1").tolist() == published.tolist()
    assert published.sum() == pytest.approx(1)
    clipped = changed(classes, tmp_path / "clipped", lambda x: np.where(x == 0, x, x - np.uint8(1)))
    with pytest.warns(
        DataWarning, match=r'largest label is 13 of 14 classes, and 0 is on [\d.]+ %.*label_values="0..C-1"'
    ):
        check_class_labels(clipped, counts)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_class_labels(clipped, counts, Convention("1..C", stated=True))


def test_masks_of_0_and_255_are_said_for_what_they_are(classes, tmp_path):
    masks = changed(classes, tmp_path / "masks", lambda x: np.where(x == 1, np.uint8(255), np.uint8(0)))
    with pytest.raises(ValueError, match=r'hold 0 and 255 alone, as masks do\. label_values="0/255"'):
        check_class_labels(masks, 2)
    found = check_class_labels(masks, 2, MASK, ("rest", "wall"))
    share = np.mean([np.asarray(Image.open(path)) == 1 for path in classes])
    assert found.shares(2, "0/255") == pytest.approx([1 - share, share])
    assert found.table(2, "0/255", ("rest", "wall")).startswith('label_values="0/255": rest ')
    with pytest.raises(ValueError, match=r'label_values="0/255" is a mask of two classes, but num_classes=14'):
        check_class_labels(masks, 14, MASK)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (np.zeros_like, r"hold 0 alone, which is unlabeled: nothing to learn from"),
        (lambda x: np.full_like(x, 255), "hold 255 alone, which is ignored"),
        (lambda x: np.full_like(x, 5), r"all labeled pixels are of class 4 \(window\)"),
    ],
)
def test_labels_that_teach_nothing_are_refused(classes, tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        check_class_labels(
            changed(classes, tmp_path / "none", change), 14, names=["a", "b", "c", "d", "window"] + 9 * ["x"]
        )


def test_too_many_classes_are_said(classes):
    most = max(int(np.asarray(Image.open(path)).max()) for path in classes)
    with pytest.warns(DataWarning, match=rf"the largest label is {most} of 20 classes; num_classes=20 may be too many"):
        check_class_labels(classes, 20)
    with pytest.warns(DataWarning, match=r"num_classes=20, but dataset\.json lists 14 classes"):
        check_class_labels(classes, 20, names=CLASSES)


def test_the_table_names_every_class_with_its_share():
    found = ClassValues()
    found.add(class_counts(np.array([[0, 1, 1, 1], [1, 3, 3, 255]], np.uint8)), Path("x"))
    line = found.table(3, "1..C", ("wall", "floor", "lamp"))
    assert line == 'label_values="1..C": wall 66.7 %, lamp 33.3 %; never: floor; unlabeled 25 %'
    assert found.table(3, "1..C", most=1).startswith('label_values="1..C": class 0 66.7 %, and 1 class of at most 33 %')


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
        (1000, r"\(values 1 to 4\)\. If that is not so, set depth_scale.*, 1 \(metres\) makes 1 to 4 m"),
        (10, r"range from 0.101 to 0.423 m.*100 \(centimetres\) makes 1.01 to 4.23 m.*state depth_scale=1000"),
    ],
)
def test_depth_in_the_wrong_unit_is_refused_with_the_hint(depths, tmp_path, millimetres_per_unit, message):
    check_depth_labels(depths)
    wrong = changed(depths, tmp_path / "wrong", lambda x: (x / millimetres_per_unit).round().astype(np.uint16))
    with pytest.raises(ValueError, match=message):
        check_depth_labels(wrong)
    check_depth_labels(wrong, Convention(1000 / millimetres_per_unit, stated=True)).check_metres("x", 1e-3, 10)
    assert check_depth_labels(wrong, Convention(1000, stated=True)).files == len(wrong)  # who states it is believed


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
    with pytest.raises(ValueError, match=r"x: \d+ % of .* lie outside 0.001 to 10 m; with depth_scale=1000"):
        check_depth_labels(other).check_metres("x", 1e-3, 10)
    check_depth_labels(other, Convention(per_metre, stated=True)).check_metres("x", 1e-3, 10)


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
    with pytest.raises(ValueError, match=r"100 \(centimetres\) makes 0.79 to"):
        found.check("x")


def test_the_line_about_depth_says_what_its_scale_makes_of_it():
    found = DepthValues(Convention(5000, stated=True))
    found.add(depth_counts(np.arange(20000).reshape(200, 100)))
    assert found.table() == (
        "depth_scale=5000 steps a metre: 0.04 to 4 m, median 2 m; 0.005 % of the pixels without depth"
    )


def test_nearest_and_farthest_are_percentiles_of_the_valid_pixels():
    values = np.random.default_rng(0).integers(0, 9000, (480, 640))
    found = DepthValues()
    found.add(depth_counts(values[:240]))
    found.add(depth_counts(values[240:]))
    near, far = np.percentile(values[values > 0], [1, 99.9])
    assert found.nearest_and_farthest() == pytest.approx((near, far), abs=1.5)
    assert found.files == 2 and found.without == 0


@pytest.mark.parametrize(
    ("about", "message"),
    [
        ('{"label_values": "0-based"}', r"label_values='0-based' is unknown; give \"1..C\": 0 = unlabeled"),
        ('{"label_values": ["0..C-1"]}', "is unknown"),
        ('{"depth_scale": "mm"}', "depth_scale='mm': give the steps of the files' values in one metre"),
        ('{"depth_scale": 0}', "depth_scale=0: give"),
        ('{"depth_scale": true}', "depth_scale=True: give"),
        ("[]", r"dataset\.json holds no object"),
        ('{"classes": "wall"}', "classes='wall'; give a list of names"),
    ],
)
def test_a_dataset_json_that_says_something_else_is_named(tmp_path, about, message):
    (tmp_path / "dataset.json").write_text(about)
    with pytest.raises(ValueError, match=message):
        for read in (conventions.class_names, lambda root: conventions.label_values(None, root)):
            read(tmp_path)
        conventions.depth_scale(None, tmp_path)


def test_the_key_comes_before_dataset_json(tmp_path):
    (tmp_path / "dataset.json").write_text('{"label_values": "0..C-1", "depth_scale": 256}')
    assert conventions.label_values(None, tmp_path / "ade20k") == Convention("0..C-1", stated=True)
    assert conventions.label_values("0/255", tmp_path / "ade20k") == Convention("0/255", stated=True)
    assert conventions.depth_scale(None, tmp_path) == Convention(256, stated=True)
    assert conventions.depth_scale(5000, tmp_path) == Convention(5000, stated=True)


@pytest.mark.parametrize("size", [(24, 24), (48, 48), (96, 96)])
def test_labels_that_were_interpolated_are_said(tmp_path, size):
    """Boxes of five classes, resized by the nearest pixel and by interpolation; as many files as have 200 borders."""
    rng, kinds = np.random.default_rng(0), {"nearest": Image.NEAREST, "bilinear": Image.BILINEAR}
    files = {kind: [] for kind in kinds}
    for number in range(24):
        labels = np.ones((48, 48), np.uint8)
        for _ in range(6):
            y, x = rng.integers(0, 36, 2)
            labels[y : y + rng.integers(6, 12), x : x + rng.integers(6, 12)] = rng.integers(1, 6)
        for kind, method in kinds.items():
            files[kind].append(tmp_path / f"{kind}{number}.png")
            Image.fromarray(labels).resize(size, method).save(files[kind][-1])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_class_labels(files["nearest"], 5)
    if size != (48, 48):
        with pytest.warns(DataWarning, match="as when label images are resized with interpolation"):
            check_class_labels(files["bilinear"], 5)
