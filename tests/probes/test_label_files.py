from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vssl.datasets.files import UnreadableImage
from vssl.probes.label_files import check_class_files, check_depth_files, verify


def write(folder, *arrays) -> list[str]:
    paths = [str(folder / f"{i:03d}.png") for i in range(len(arrays))]
    for path, array in zip(paths, arrays, strict=True):
        Image.fromarray(np.asarray(array)).save(path)
    return paths


def raw_labels(classes: int = 150) -> np.ndarray:
    return np.random.default_rng(0).integers(0, classes + 1, (20, 30)).astype(np.uint8)


def shifted(labels: np.ndarray) -> np.ndarray:
    return labels - np.uint8(1)  # 0 becomes 255


def room(scale: float, dtype=np.uint16) -> np.ndarray:
    depth = np.random.default_rng(0).uniform(0.8, 6.0, (20, 30))
    depth[:2] = 0
    return (depth * scale).astype(dtype)


def test_files_as_they_should_be_pass(tmp_path):
    check_class_files(write(tmp_path, raw_labels(), np.zeros((4, 4), np.uint8)), 150)
    check_depth_files(write(tmp_path, room(1000), np.zeros((4, 4), np.uint16)))


def test_labels_that_were_shifted_already_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"000\.png holds 255: the labels were shifted .* 1 is subtracted once"):
        check_class_files(write(tmp_path, shifted(raw_labels())), 150)


@pytest.mark.parametrize(
    ("labels", "error", "message"),
    [
        (np.full((4, 4), 151, np.uint8), ValueError, r"000\.png holds 151; 0 = unlabeled and 1\.\.150"),
        (np.zeros((4, 4), np.uint8), ValueError, "no labeled pixel"),
        (np.ones((4, 4, 3), np.uint8), UnreadableImage, "one channel, got an image of mode RGB"),
        (np.ones((4, 4), np.uint16), UnreadableImage, "8-bit labels"),
    ],
)
def test_labels_of_another_kind_are_refused(labels, error, message, tmp_path):
    with pytest.raises(error, match=message):
        check_class_files(write(tmp_path, labels), 150)


@pytest.mark.parametrize(
    ("scale", "unit"), [(1, "metres"), (10, "metres"), (100, "centimetres"), (10_000, "less than a millimetre")]
)
def test_depth_in_another_unit_is_refused_with_the_hint(scale, unit, tmp_path):
    with pytest.raises(
        ValueError, match=rf"000\.png .* look like {unit}; uint16 millimetres are expected \(metres × 1000"
    ):
        check_depth_files(write(tmp_path, room(scale)))


@pytest.mark.parametrize(
    ("depth", "message"), [(room(40, np.uint8), "16-bit depth"), (np.zeros((4, 4), np.uint16), "no valid depth")]
)
def test_depth_of_another_kind_is_refused(depth, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        check_depth_files(write(tmp_path, depth))


@pytest.mark.parametrize("damage", ["truncated", "flipped bit", "empty", "text"])
def test_a_corrupt_file_is_named_wherever_it_is(damage, tmp_path):
    paths = write(tmp_path, *[raw_labels()] * 200)
    file = Path(paths[137])
    content = bytearray(file.read_bytes())
    if damage == "flipped bit":
        content[len(content) // 2] ^= 1
    changed = {"truncated": content[:-30], "empty": b"", "text": b"not a picture"}.get(damage, content)
    file.write_bytes(changed)
    with pytest.raises(UnreadableImage, match=r"137\.png: not a readable image"):
        check_class_files(paths, 150)


def test_how_many_are_corrupt_is_said(tmp_path):
    paths = write(tmp_path, *[raw_labels()] * 3)
    for path in paths[1:]:
        Path(path).write_bytes(b"")
    with pytest.raises(UnreadableImage, match=r"001\.png.* \(and 1 more\)"):
        verify(paths)
