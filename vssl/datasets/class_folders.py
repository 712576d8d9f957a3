"""Folders of classes, ``ROOT/CLASS/…/NAME.jpg``: one listing for feedback and probes."""

import os
from pathlib import Path

from vssl.data_folders import found_in, next_step
from vssl.datasets.files import image_paths

# What splits and kinds of files are called. A class may have one of these names (a train, a test), not two.
_SPLITS = {"train", "training", "val", "valid", "validation", "test", "testing"}
_KINDS = {"images", "image", "annotations", "labels", "masks", "imgs", "jpegimages"}


def class_folders(root: Path, least: int = 1) -> tuple[list[str], list[tuple[Path, int]]]:
    """The classes of a folder, in the order of their names, and its images with the number of their class.

    Listed as `image_paths` does: links are followed and loops are not, hidden files and folders are left out.

    Args:
        least: how many classes there must be.

    Raises:
        FileNotFoundError: no class folders, or a class without images.
        ValueError: fewer than `least` classes; or one level too high: the folders are splits, or kinds of files.
    """
    above = {os.path.realpath(place) for place in (root, *root.absolute().parents)}
    entries = sorted(entry.name for entry in os.scandir(root) if entry.is_dir() and not entry.name.startswith("."))
    classes = [name for name in entries if os.path.realpath(root / name) not in above]  # a link back is no class
    if not classes:
        raise FileNotFoundError(f"{root}: no class folders in it (found: {found_in(root)}). {next_step(root)}")
    for kind, known in (("splits", _SPLITS), ("kinds of files", _KINDS)):
        alike = [name for name in classes if name.lower() in known]
        if len(alike) == len(classes) or len(alike) > 1:
            raise ValueError(f"{root}: its class folders are {', '.join(alike)}, which are {kind}; give one of them")
    if len(classes) < least:
        raise ValueError(f"{root}: expected a folder for each of {least} or more classes; found {found_in(root)}")
    number = {name: i for i, name in enumerate(classes)}
    images = [(root / path, number[path.split(os.sep)[0]]) for path in image_paths(root) if os.sep in path]
    empty = sorted(set(range(len(classes))) - {label for _, label in images})
    if empty:
        raise FileNotFoundError(f"{root / classes[empty[0]]}: no images of this class; add some or remove the folder")
    return classes, sorted(images, key=lambda image: image[1])
