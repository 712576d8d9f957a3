"""Labeled folders as mmseg and torchvision read them, with the checks that those leave out.

Probes read through mmseg's datasets, since a published protocol is a list of mmseg's transforms. A designer's feedback
reads through vssl/datasets/labeled.py, since its crops come from the run's own generators and repeat exactly. Files are
found, decoded and checked by the same functions in both.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

from mmseg.datasets import (
    ADE20KDataset,
    BaseSegDataset,
    CityscapesDataset,
    COCOStuffDataset,
    NYUDataset,
    PascalVOCDataset,
)
from torchvision.datasets import ImageFolder

from vssl.data_folders import next_step, refuse_missing
from vssl.datasets import conventions
from vssl.datasets.class_folders import class_folders
from vssl.datasets.conventions import IGNORE
from vssl.datasets.files import EXTENSIONS, image_paths, label_files
from vssl.datasets.label_checks import check_class_labels, check_depth_labels


class _Checked(BaseSegDataset):
    """For mmseg datasets: images of every kind that vssl reads (mmseg lists one extension), and a wrong layout and
    missing, broken or wrong label files are errors before the work starts."""

    label_key: ClassVar[str]

    def load_data_list(self) -> list[dict]:
        for folder in self.data_prefix.values():
            refuse_missing(folder)
        folder = Path(self.data_prefix["img_path"])
        names = sorted(name for name in image_paths(folder) if name.endswith(self._ending()))
        if self.ann_file:
            names = _chosen(names, Path(self.ann_file), self._stem)
        if not names:
            kinds = self._ending() or ", ".join(EXTENSIONS)
            raise FileNotFoundError(f"{folder}: no images ({kinds}). {next_step(folder)}")
        labels = label_files(names, folder, Path(self.data_prefix[self.label_key]), self._stem, self.seg_map_suffix)
        self.check_files(labels)
        return [self._entry(folder / name, label) for name, label in zip(names, labels, strict=True)]

    def _ending(self) -> str:
        """What names must end with: an `img_suffix` such as ``_leftImg8bit.png``. A mere extension stands for all."""
        return self.img_suffix if not self.img_suffix.startswith(".") else ""

    def _stem(self, name: str) -> str:
        return name.removesuffix(self._ending()) if self._ending() else os.path.splitext(name)[0]

    def _entry(self, image: Path, label: Path) -> dict:
        return {"img_path": str(image), self.label_key: str(label), "seg_fields": []}


def _chosen(names: Sequence[str], listing: Path, stem: Callable[[str], str]) -> list[str]:
    """The images that a file of names lists, one a line, with their extension or without; in the file's order.

    Raises:
        FileNotFoundError: no such file, or a name that is no image.
    """
    if not listing.is_file():
        raise FileNotFoundError(f"ann_file {listing}: no such file")
    found = {key: name for name in names for key in (stem(name), name)}
    wanted = [line.strip() for line in listing.read_text().splitlines() if line.strip()]
    missing = [name for name in wanted if name not in found]
    if missing:
        raise FileNotFoundError(f"ann_file {listing}: {len(missing)} of its names are no images, e.g. {missing[0]}")
    return [found[name] for name in wanted]


class _Segmentation(_Checked):
    """`label_values`: what the files hold, see vssl/datasets/conventions.py; None for what `dataset.json` says."""

    label_key = "seg_map_path"

    def __init__(self, *, label_values: str | None = None, data_root: str = "", **settings):
        if "reduce_zero_label" in settings:
            raise ValueError(
                f"{data_root}: reduce_zero_label={settings['reduce_zero_label']}: say what the files hold by "
                'label_values, "1..C" (which 1 is subtracted from) or "0..C-1"'
            )
        self.label_values = conventions.label_values(label_values, data_root)
        super().__init__(data_root=data_root, reduce_zero_label=self.label_values.value == "1..C", **settings)

    def _entry(self, image: Path, label: Path) -> dict:
        label_map = {IGNORE: 1} if self.label_values.value == "0/255" else self.label_map
        labels = {"label_map": label_map, "reduce_zero_label": self.reduce_zero_label}
        return {**super()._entry(image, label), **labels}

    def check_files(self, paths: list[Path]) -> None:
        classes = self.metainfo["classes"]
        found = check_class_labels(paths, len(classes), self.label_values, classes)
        self.labels = found.table(len(classes), self.label_values.value, classes)


class SceneSegmentation(_Segmentation, BaseSegDataset):
    """ADE20K's layout with the classes that `dataset.json` lists (in `data_root` or the folder above)."""

    def __init__(self, data_root: str, **settings):
        refuse_missing(data_root)
        classes = conventions.class_names(data_root)
        if not classes:
            raise ValueError(f"{data_root}: its dataset.json lists no 'classes'. {next_step(data_root)}")
        super().__init__(data_root=data_root, metainfo=dict(classes=classes), **settings)


class ADE20K(_Segmentation, ADE20KDataset):
    """The real ADE20K (SceneParse150), 150 classes."""


class _TrainIds(_Segmentation):
    """Files that hold 0 to C-1 and 255, as these sets are published or as mmseg's converters write them."""

    def __init__(self, *, label_values: str = "0..C-1", **settings):
        super().__init__(label_values=label_values, **settings)


class PascalVOC(_TrainIds, PascalVOCDataset):
    """PASCAL VOC 2012 as its devkit unpacks, 20 classes and background; `ann_file` lists a split."""


class Cityscapes(_TrainIds, CityscapesDataset):
    """Cityscapes, 19 classes: leftImg8bit and the ``_gtFine_labelTrainIds.png`` that cityscapesScripts write."""


class COCOStuff(_TrainIds, COCOStuffDataset):
    """COCO-Stuff 164k, 171 classes: the ``_labelTrainIds.png`` that mmseg's converter writes beside the annotations."""


class NYUDepth(_Checked, NYUDataset):
    """NYUv2's layout: uint16 PNG, 0 = invalid.

    Args:
        depth_scale: steps of the files' values in one metre; it comes before the pipeline's `depth_rescale_factor`.
            None for what `dataset.json` says, else 1000.
    """

    label_key = "depth_map_path"

    def __init__(self, *, depth_scale: float | None = None, data_root: str = "", **settings):
        self.depth_scale = conventions.depth_scale(depth_scale, data_root)
        super().__init__(data_root=data_root, **settings)

    def check_files(self, paths: list[Path]) -> None:
        self.depths = check_depth_labels(paths, self.depth_scale)

    def _entry(self, image: Path, label: Path) -> dict:
        category = self._get_category_id_from_filename(image.name)
        stated = {"depth_scale": self.depth_scale.value} if self.depth_scale.stated else {}
        return {**super()._entry(image, label), "category_id": category, **stated}

    def _get_category_id_from_filename(self, image_fname: str) -> int:
        # mmseg/datasets/nyu.py:89 raises StopIteration on a name without a digit; probes have no use for the category.
        return -1


class KITTIDepth(NYUDepth):
    """KITTI's raw images with the annotated depth maps: uint16 PNG, 256 steps a metre, 0 = invalid.

    Args:
        ann_file: a list of Eigen's split as BTS publishes it, lines ``IMAGE DEPTH FOCAL``. Images whose depth is
            ``None`` have no label and are left out.
        data_prefix: ``img_path``, the folder of the raw drives by date; ``depth_map_path``, data_depth_annotated, its
            folders train and val as they unpack, or merged.
    """

    def __init__(self, *, depth_scale: float = 256, **settings):
        super().__init__(depth_scale=depth_scale, **settings)

    def load_data_list(self) -> list[dict]:
        images, depths = (Path(self.data_prefix[key]) for key in ("img_path", self.label_key))
        for folder in (images, depths):
            refuse_missing(folder)
        listing = Path(self.ann_file)
        if not listing.is_file():
            raise FileNotFoundError(f"ann_file {listing}: no such file")
        entries = []
        for number, line in enumerate(listing.read_text().splitlines(), start=1):
            words = line.split()
            if len(words) != 3:
                raise ValueError(f"{listing}, line {number}: {line!r}; IMAGE DEPTH FOCAL is needed")
            if words[1] == "None":
                continue
            places = [depths / part / words[1] for part in ("", "train", "val")]
            label = next((place for place in places if place.is_file()), None)
            for path, name in ((images / words[0], words[0]), (label, words[1])):
                if path is None or not path.is_file():
                    raise FileNotFoundError(f"{listing}, line {number}: no {name} below {images if path else depths}")
            entry = {"img_path": str(images / words[0]), self.label_key: str(label), "seg_fields": []}
            entries.append({**entry, "category_id": -1, "depth_scale": self.depth_scale.value})
        if not entries:
            raise ValueError(f"{listing} lists no image with depth")
        self.check_files([Path(entry[self.label_key]) for entry in entries])
        return entries


class ClassFolder(ImageFolder):
    """ImageNet's layout, ``root/<class>/*.jpg``, listed by `class_folders`."""

    def __init__(self, root: str | Path, transform=None):
        refuse_missing(root)
        self._listed = class_folders(Path(root))
        super().__init__(str(root), transform=transform)

    def find_classes(self, directory: str) -> tuple[list[str], dict[str, int]]:
        classes, _ = self._listed
        return classes, {name: number for number, name in enumerate(classes)}

    def make_dataset(self, *args, **kwargs) -> list[tuple[str, int]]:
        return [(str(path), label) for path, label in self._listed[1]]
