"""ImageNet from a miniature with a devkit: class order, flat and sorted val, interrupted moves, wrong layouts."""

import json
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat
from torchvision.datasets import ImageFolder

from vssl.datasets import UnlabeledImages
from vssl.datasets.prepare import imagenet
from vssl.datasets.prepare.devkit import read_devkit
from vssl.datasets.prepare.imagenet import ImageNetRelease, prepare_imagenet

WNIDS = ["n01440764", "n02119789", "n03000134"]
IDS = {1: "n02119789", 2: "n01440764", 3: "n03000134", 4: "n09000000"}  # 4 is a group; 1..3 are not in wnid order
TRUTH = [3, 1, 2, 2, 3, 1]
RELEASE = ImageNetRelease(3, {"train": 9, "val": 6})


@pytest.fixture
def devkit(tmp_path) -> Path:
    """As published: a struct array with a group of classes at its end, and a text of numbers."""
    folder = tmp_path / "ILSVRC2012_devkit_t12"
    (folder / "data").mkdir(parents=True)
    fields = ("ILSVRC2012_ID", "WNID", "words", "num_children")
    synsets = np.zeros((4, 1), dtype=[(name, object) for name in fields])
    for k, (number, wnid) in enumerate(IDS.items()):
        synsets[k, 0] = (float(number), wnid, f"thing {k}, other", 3.0 if number == 4 else 0.0)
    savemat(folder / "data/meta.mat", {"synsets": synsets})
    (folder / "data/ILSVRC2012_validation_ground_truth.txt").write_text("\n".join(map(str, TRUTH)) + "\n")
    return folder


def photograph(path: Path, value: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((8, 8, 3), value, np.uint8)).save(path, format="JPEG")


def val_name(number: int) -> str:
    return f"ILSVRC2012_val_{number:08d}.JPEG"


@pytest.fixture
def source(tmp_path) -> Path:
    root = tmp_path / "source"
    for k, wnid in enumerate(WNIDS):
        for j in range(3):
            photograph(root / "train" / wnid / f"{wnid}_{j}.JPEG", 10 * k + j)
    for number in range(1, 7):
        photograph(root / "val" / val_name(number), 100 + 10 * number)
    return root


def labels(root: Path) -> dict[str, str]:
    """Validation image -> class, as torchvision reads the folder."""
    folder = ImageFolder(str(root / "val"))
    return {Path(path).name: folder.classes[target] for path, target in folder.samples}


EXPECTED = {val_name(k + 1): IDS[number] for k, number in enumerate(TRUTH)}


def test_a_flat_val_is_moved_in_place_by_the_devkits_labels(source, devkit):
    before = {path.name: path.read_bytes() for path in source.rglob("*.JPEG")}
    about = json.loads(prepare_imagenet(source, None, devkit, RELEASE).read_text())
    assert labels(source) == EXPECTED
    assert {path.name: path.read_bytes() for path in source.rglob("*.JPEG")} == before
    assert about["counts"] == {"train": 9, "val": 6} and about["classes"] == WNIDS and about["val_labels_checked"]
    assert json.loads(prepare_imagenet(source, None, devkit, RELEASE).read_text()) == about


def test_another_out_links_and_leaves_the_source_as_it_is(source, devkit, tmp_path):
    archive = tmp_path / "devkit.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(devkit, arcname=devkit.name)
    assert read_devkit(archive) == read_devkit(devkit)
    out = prepare_imagenet(source, tmp_path / "out", archive, RELEASE).parent
    assert labels(out) == EXPECTED and len(list((source / "val").iterdir())) == 6
    assert len(UnlabeledImages(out / "train", 8)) == 9
    assert (out / "val" / "n03000134" / val_name(1)).samefile(source / "val" / val_name(1))
    assert prepare_imagenet(source, tmp_path / "out", archive, RELEASE) == out / "dataset.json"


def test_a_sorted_val_has_the_same_description_wherever_it_was_sorted(source, devkit, tmp_path):
    linked = json.loads(prepare_imagenet(source, tmp_path / "linked", devkit, RELEASE).read_text())
    prepare_imagenet(source, None, devkit, RELEASE)
    again = prepare_imagenet(source, tmp_path / "sorted", release=RELEASE)  # without devkit
    assert json.loads(again.read_text())["hashes"] == linked["hashes"]
    assert labels(tmp_path / "sorted") == EXPECTED and (tmp_path / "sorted/val").is_symlink()


def test_kaggles_folders_are_found(source, devkit, tmp_path):
    (tmp_path / "kaggle/ILSVRC/Data").mkdir(parents=True)
    source.rename(tmp_path / "kaggle/ILSVRC/Data/CLS-LOC")
    prepare_imagenet(tmp_path / "kaggle", tmp_path / "out", devkit, RELEASE)
    assert labels(tmp_path / "out") == EXPECTED


def test_an_interrupted_move_is_completed(source, devkit, monkeypatch):
    rename, done = os.rename, []

    def dies(old, new):
        if len(done) == 3:
            raise KeyboardInterrupt
        done.append(new)
        rename(old, new)

    monkeypatch.setattr(imagenet.os, "rename", dies)
    with pytest.raises(KeyboardInterrupt):
        prepare_imagenet(source, None, devkit, RELEASE)
    assert not (source / "dataset.json").exists()
    monkeypatch.undo()
    prepare_imagenet(source, None, devkit, RELEASE)
    assert labels(source) == EXPECTED


def test_images_in_the_wrong_class_are_found_by_the_devkit(source, devkit):
    prepare_imagenet(source, None, devkit, RELEASE)
    (source / "dataset.json").unlink()
    swap = [source / "val" / EXPECTED[val_name(k)] / val_name(k) for k in (1, 2)]
    swap[0].rename(swap[1].parent / swap[0].name)
    swap[1].rename(swap[0].parent / swap[1].name)
    prepare_imagenet(source, None, None, RELEASE)  # every class still has its two images
    (source / "dataset.json").unlink()
    with pytest.raises(ValueError, match=r"lies in the wrong class; the devkit says n0"):
        prepare_imagenet(source, None, devkit, RELEASE)


def test_a_flat_val_without_devkit_says_what_is_needed(source, tmp_path):
    with pytest.raises(ValueError, match=r"not in class folders\. Give --devkit ILSVRC2012_devkit_t12\.tar\.gz"):
        prepare_imagenet(source, tmp_path / "out", release=RELEASE)
    assert not (tmp_path / "out").exists()


def spoil(source: Path, how: str) -> None:
    train = source / "train"
    if how == "count":
        (train / WNIDS[0] / f"{WNIDS[0]}_1.JPEG").unlink()
    elif how == "empty":
        (train / WNIDS[1] / f"{WNIDS[1]}_2.JPEG").write_bytes(b"")
    elif how == "class names":
        (train / WNIDS[0]).rename(train / "tench")
    elif how == "class":
        (train / WNIDS[0]).rename(train / "n01440765")
    elif how == "loose":
        photograph(train / "x.JPEG", 0)
    elif how == "val class":
        photograph(source / "val/n09999999/x.JPEG", 0)
    elif how == "val name":
        (source / "val" / val_name(6)).rename(source / "val" / val_name(7))


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("count", "8 images, expected 9. Was it unpacked completely"),
        ("empty", "n02119789_2.JPEG: an empty file"),
        ("class names", "folder tench, expected WordNet ids"),
        ("class", "its classes are not the devkit's; differing: n01440764, n01440765"),
        ("loose", "x.JPEG: an image outside the class folders"),
        ("val class", "class folder n09999999, which is not in train"),
        ("val name", "ILSVRC2012_val_00000007.JPEG: expected ILSVRC2012_val_00000001.JPEG to …00000006.JPEG"),
    ],
)
def test_a_wrong_source_is_named_before_anything_changes(source, devkit, tmp_path, how, message):
    spoil(source, how)
    before = sorted(source.rglob("*"))
    with pytest.raises(ValueError, match=message.replace(".", r"\.")):
        prepare_imagenet(source, None, devkit, RELEASE)
    assert sorted(source.rglob("*")) == before


def test_broken_devkits_are_named(source, devkit, tmp_path):
    (tmp_path / "x.tar.gz").write_bytes(b"x" * 100)
    with pytest.raises(ValueError, match=r"x\.tar\.gz: not a whole tar archive"):
        read_devkit(tmp_path / "x.tar.gz")
    with pytest.raises(FileNotFoundError, match=r"no data/meta\.mat, data/ILSVRC2012_validation_ground_truth\.txt"):
        read_devkit(devkit.rename(tmp_path / "moved") / "data")


def test_the_real_release_is_the_default():
    assert ImageNetRelease().classes == 1000 and ImageNetRelease().counts == {"train": 1281167, "val": 50000}
