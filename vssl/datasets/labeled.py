"""Labeled images: ADE20K's layout with classes, NYUv2's with depth. Rendered scenes and the real data read alike.

ROOT/images/SPLIT/NAME.jpg
ROOT/annotations/SPLIT/NAME.png
"""

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float32, Int64, UInt8
from torch import Tensor
from torch.utils.data import Dataset

from vssl.data_folders import found_in, next_step, refuse_missing
from vssl.datasets import conventions
from vssl.datasets.files import UnreadableImage, image_paths, label_files, read_depth, read_image, read_labels
from vssl.datasets.joint import JointTransform
from vssl.datasets.sampler import index_and_position


class AnnotatedImages(Dataset, ABC):
    """Pairs of an image and an annotation of the same size and name.

    Args:
        root: the layout's folder, e.g. ``data/scenes/ade20k``.
        split: the layout's own name of the split.
        transform: changes image and annotation jointly; None keeps them as they are.
        limit: keep the first `limit` images, in the order of their names.
        subset: keep the images with these numbers, in this order. Not together with `limit`.
        in_memory: decode each file once and keep it (in each worker process); for a few hundred images.

    Raises:
        FileNotFoundError: no such folder, no images in it, or an image without annotation.
        ValueError: `limit` or `subset` asks for more images than there are.
        UnreadableImage: (when an item is read) a broken file, or one of another kind or size than expected.
    """

    splits: ClassVar[tuple[str, ...]]
    # What a left-right flip does to the values of an annotation, once its pixels are flipped; None: nothing.
    mirrored: Callable[[np.ndarray], np.ndarray] | None = None

    def __init__(
        self,
        root: str | Path,
        split: str,
        transform: JointTransform | None = None,
        limit: int | None = None,
        subset: Sequence[int] | None = None,
        in_memory: bool = False,
    ):
        self._decoded: dict[int, tuple[np.ndarray, np.ndarray]] | None = {} if in_memory else None
        self.root, self.split, self.transform = Path(root), split, transform
        self._images, self._annotations = self.root / "images" / split, self.root / "annotations" / split
        for folder in (self._images, self._annotations):
            if not folder.is_dir():
                self._explain_missing(folder)
        names = list(image_paths(self._images))
        if not names:
            raise FileNotFoundError(f"{root}: no images under images/{split} (it is empty). {next_step(self.root)}")
        # raises where an image has none
        label_files(names, self._images, self._annotations, lambda name: os.path.splitext(name)[0])
        self._names = _chosen(names, limit, subset, f"{root}, split {split}")

    def _explain_missing(self, folder: Path) -> None:
        kind = folder.relative_to(self.root).parts[0]
        refuse_missing(self.root)
        splits = [f"{kind}/{f.name}" for f in sorted((self.root / kind).glob("*/"))] or [found_in(self.root)]
        usual = "" if self.split in self.splits else f"; splits of this layout: {', '.join(self.splits)}"
        raise FileNotFoundError(
            f"{self.root}: no {kind} under {kind}/{self.split} (found: {', '.join(splits)}{usual}). "
            f"{next_step(self.root)}"
        )

    def _annotation(self, name: str) -> Path:
        return (self._annotations / name).with_suffix(".png")

    def __len__(self) -> int:
        return len(self._names)

    def paths(self, index: int) -> tuple[Path, Path]:
        """The files behind an index: image and annotation."""
        return self._images / self._names[index], self._annotation(self._names[index])

    def _arrays(self, key: int | tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """(H, W, 3) image and (H, W) or (H, W, C) annotation, as read, transformed jointly."""
        index, position = index_and_position(key)
        if self._decoded is None:
            image, annotation = self._decode(index)
        else:
            if index not in self._decoded:
                self._decoded[index] = self._decode(index)
            image, annotation = self._decoded[index]
        if self.transform is None:
            return image, annotation
        return self.transform(image, annotation, position, self.mirrored)  # type: ignore[return-value]  # given one

    def _decode(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        image_path, annotation_path = self.paths(index)
        image, annotation = read_image(image_path), self._read(annotation_path)
        if image.shape[:2] != annotation.shape[:2]:
            (h, w), (ah, aw) = image.shape[:2], annotation.shape[:2]
            turned = " once it is turned upright (EXIF); labels are taken as stored" if (aw, ah) == (h, w) else ""
            raise UnreadableImage(
                f"{annotation_path}: {aw} × {ah} pixels, but its image {image_path} has {w} × {h}{turned}"
            )
        return image, annotation

    @abstractmethod
    def _read(self, path: Path) -> np.ndarray:
        """One annotation file, (H, W) or (H, W, C), in the units of the items. Raises UnreadableImage."""


class SegmentationImages(AnnotatedImages):
    """ADE20K's layout. Items are (image, labels): (3, H, W) uint8 and (H, W) int64.

    Files hold 0 = unlabeled and 1.. the classes; that is turned, once, into 0.. the classes and 255 = ignore.
    Other arguments and errors: see `AnnotatedImages`.

    Args:
        label_values: what the files hold where it is something else, see vssl/datasets/conventions.py; None for what
            ``dataset.json`` says.
    """

    splits = ("training", "validation")

    def __init__(
        self,
        root: str | Path,
        split: str,
        transform: JointTransform | None = None,
        limit: int | None = None,
        subset: Sequence[int] | None = None,
        in_memory: bool = False,
        label_values: str | None = None,
    ):
        super().__init__(root, split, transform, limit, subset, in_memory)
        self.label_values = conventions.label_values(label_values, root)
        self.classes = conventions.class_names(root)

    def __getitem__(self, key: int | tuple[int, int]) -> tuple[UInt8[Tensor, "3 H W"], Int64[Tensor, "H W"]]:
        image, labels = self._arrays(key)
        return channels_first(image), torch.from_numpy(labels.astype(np.int64))

    def _read(self, path: Path) -> np.ndarray:
        return conventions.to_classes(read_labels(path), self.label_values.value)


class DepthImages(AnnotatedImages):
    """NYUv2's layout. Items are (image, depth): (3, H, W) uint8 and (H, W) float32 z-depth in metres, 0 = invalid.

    Files hold uint16, 0 = invalid. Other arguments and errors: see `AnnotatedImages`.

    Args:
        depth_scale: steps of the files' values in one metre: 1000 for millimetres, 5000 for TUM RGB-D, 256 for KITTI.
            None for what ``dataset.json`` says, else 1000.
    """

    splits = ("train", "test")

    def __init__(
        self,
        root: str | Path,
        split: str,
        transform: JointTransform | None = None,
        limit: int | None = None,
        subset: Sequence[int] | None = None,
        in_memory: bool = False,
        depth_scale: float | None = None,
    ):
        super().__init__(root, split, transform, limit, subset, in_memory)
        self.depth_scale = conventions.depth_scale(depth_scale, root)

    def __getitem__(self, key: int | tuple[int, int]) -> tuple[UInt8[Tensor, "3 H W"], Float32[Tensor, "H W"]]:
        image, depth = self._arrays(key)
        return channels_first(image), torch.from_numpy(np.ascontiguousarray(depth))

    def _read(self, path: Path) -> np.ndarray:
        return read_depth(path).astype(np.float32) / np.float32(self.depth_scale.value)


def _chosen(names: list[str], limit: int | None, subset: Sequence[int] | None, where: str) -> list[str]:
    if limit is not None and subset is not None:
        raise ValueError(f"{where}: give limit or subset, not both")
    if limit is not None:
        if not 1 <= limit <= len(names):
            raise ValueError(f"{where}: limit {limit}, but there are {len(names)} images")
        return names[:limit]
    if subset is not None:
        outside = [number for number in subset if not 0 <= number < len(names)]
        if outside or not len(subset):
            wrong = f"number {outside[0]}" if outside else "no number at all"
            raise ValueError(f"{where}: subset holds {wrong}, expected numbers in 0..{len(names) - 1}")
        return [names[number] for number in subset]
    return names


def channels_first(image: np.ndarray) -> UInt8[Tensor, "3 H W"]:
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))
