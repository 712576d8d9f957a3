"""Label files that lie among unlabeled images: they would be learned from as if they were pictures."""

import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from vssl.datasets.files import UnreadableImage, opened

# What folders of label files are called.
_NAMES = {
    "annotation", "annotations", "label", "labels", "mask", "masks", "segmentation", "segmentations", "seg", "segs",
    "gt", "gtfine", "gtcoarse", "groundtruth", "ground_truth", "segmentationclass", "segmentationobject", "depth",
    "depths", "depthmap", "depthmaps", "depth_maps", "disparity", "normals",
}  # fmt: skip
_SAMPLE = 8


def refuse_labels(root: Path, paths: Sequence[str]) -> None:
    """Raises ValueError when images below `root` are label files, or `root` itself is a folder of them.

    A file is taken for one when it lies in a folder with the name of one, and is a picture of one channel or of a dozen
    colours at most, as a look at a few of them shows. So a class of images that is called "mask" passes.

    Args:
        paths: of the images, relative to `root`.
    """
    suspects: dict[str, list[str]] = {}
    for path in paths:
        if folder := _label_folder(os.path.dirname(path)):
            suspects.setdefault(folder, []).append(path)
    if not suspects and root.name.lower() in _NAMES and (root.parent / "images").is_dir():
        suspects[root.name] = list(paths)
    for folder, files in suspects.items():
        chosen = np.linspace(0, len(files) - 1, min(_SAMPLE, len(files))).astype(int)
        if all(_like_labels(root / files[i]) for i in chosen):
            others = {os.path.dirname(path) for path in set(paths) - set(files)}
            images = root / os.path.commonpath(others) if others else root.parent / "images"
            fix = f"Give {images}" if images != root else "Give the folders of the others, one by one"
            raise ValueError(
                f"{root} holds labels too: {len(files)} of its {len(paths)} images are below {folder}/, e.g. "
                f"{files[0]}. {fix}, or rename {folder}/ if these are pictures"
            )


@lru_cache(maxsize=4096)
def _label_folder(folders: str) -> str | None:
    return next((name for name in folders.split(os.sep) if name.lower() in _NAMES), None)


def _like_labels(path: Path) -> bool:
    try:
        with opened(path) as image:
            if image.format == "JPEG":
                return False
            return image.mode in ("1", "L", "P") or image.mode.startswith("I") or _few_colours(image)
    except (UnreadableImage, OSError):  # named when it is read
        return False


def _few_colours(image: Image.Image) -> bool:
    return image.convert("RGB").getcolors(maxcolors=12) is not None
