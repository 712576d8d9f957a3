"""Folders of classes: what is listed, and what is refused as one level too high."""

import pytest
from PIL import Image

from vssl.datasets.class_folders import class_folders


def tree(root, *files):
    for name in files:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4)).save(root / name)
    return root


def names(root, images):
    return [(path.relative_to(root).as_posix(), label) for path, label in images]


def test_classes_in_the_order_of_names_with_images_of_every_kind_and_depth(tmp_path):
    root = tree(tmp_path / "train", "cat/b.jpg", "cat/A.PNG", "dog/more/c.webp", "dog/d.jpeg")
    classes, images = class_folders(root)
    assert classes == ["cat", "dog"]
    assert names(root, images) == [("cat/A.PNG", 0), ("cat/b.jpg", 0), ("dog/d.jpeg", 1), ("dog/more/c.webp", 1)]


def test_loops_and_hidden_folders_give_no_images_twice(tmp_path):
    root = tree(tmp_path / "train", "cat/a.jpg", "dog/b.jpg", "dog/.thumbnails/b.jpg")
    before = class_folders(root)
    (root / "cat" / "loop").symlink_to("..")
    (root / "self").symlink_to(".")
    with pytest.warns(UserWarning, match=r"links back to a folder above \(2\)"):
        assert class_folders(root) == before


def test_linked_class_folders_are_followed(tmp_path):
    tree(tmp_path / "elsewhere", "1.jpg")
    root = tree(tmp_path / "train", "cat/a.jpg")
    (root / "dog").symlink_to(tmp_path / "elsewhere")
    assert names(root, class_folders(root)[1]) == [("cat/a.jpg", 0), ("dog/1.jpg", 1)]


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        (["train", "val"], "class folders are train, val, which are splits"),
        (["Train", "val", "readme_files"], "class folders are Train, val, which are splits"),
        (["images", "annotations"], "class folders are annotations, images, which are kinds of files"),
        (["images"], "which are kinds of files"),
    ],
)
def test_splits_and_kinds_of_files_are_no_classes(tmp_path, folders, message):
    tree(tmp_path, *(f"{folder}/a/x.png" for folder in folders))
    with pytest.raises(ValueError, match=message):
        class_folders(tmp_path)


def test_a_class_may_be_called_train(tmp_path):
    root = tree(tmp_path / "vehicles", "bus/a.jpg", "train/b.jpg")
    assert class_folders(root)[0] == ["bus", "train"]


def test_a_class_without_images_is_named(tmp_path):
    root = tree(tmp_path, "cat/a.jpg")
    (root / "dog").mkdir()
    with pytest.raises(FileNotFoundError, match="dog: no images of this class"):
        class_folders(root)
