"""Labeled folders as mmseg and torchvision read them, with the checks that those leave out."""

import json
from pathlib import Path
from typing import ClassVar

from mmseg.datasets import ADE20KDataset, BaseSegDataset, NYUDataset
from torchvision.datasets import ImageFolder

from vssl.datasets.files import EXTENSIONS, image_paths, next_step
from vssl.datasets.label_checks import check_class_labels, check_depth_labels


class _Checked:
    """For mmseg datasets: images of every kind that vssl reads (mmseg lists one extension), and a wrong layout and
    missing, broken or wrong label files are errors before the work starts."""

    label_key: ClassVar[str]

    def load_data_list(self) -> list[dict]:
        for folder in self.data_prefix.values():
            require_folder(Path(folder), Path(self.data_root or "."))
        folder = Path(self.data_prefix["img_path"])
        if getattr(self, "ann_file", ""):  # a list of names
            entries = super().load_data_list()
        else:
            entries = [self._entry(folder, Path(name)) for name in sorted(image_paths(folder))]
        if not entries:
            raise FileNotFoundError(f"{folder}: no images ({', '.join(EXTENSIONS)}). {next_step(folder)}")
        labels = [entry[self.label_key] for entry in entries]
        missing = [path for path in labels if not Path(path).is_file()]
        if missing:
            raise FileNotFoundError(
                f"{len(missing)} of {len(labels)} images in {folder} have no label, e.g. {missing[0]}"
            )
        self.check_files([Path(path) for path in labels])
        return entries

    def _entry(self, folder: Path, name: Path) -> dict:
        label = Path(self.data_prefix[self.label_key]) / name.with_suffix(self.seg_map_suffix)
        return {"img_path": str(folder / name), self.label_key: str(label), "seg_fields": []}


class _Segmentation(_Checked):
    label_key = "seg_map_path"

    def _entry(self, folder: Path, name: Path) -> dict:
        labels = {"label_map": self.label_map, "reduce_zero_label": self.reduce_zero_label}
        return {**super()._entry(folder, name), **labels}

    def check_files(self, paths: list[Path]) -> None:
        check_class_labels(paths, len(self.metainfo["classes"]))


class SceneSegmentation(_Segmentation, BaseSegDataset):
    """ADE20K's layout with the classes that `dataset.json` lists (in `data_root` or the folder above)."""

    def __init__(self, data_root: str, **settings):
        require_folder(Path(data_root), Path(data_root).parent)
        classes = read_dataset_json(data_root).get("classes")
        if not classes:
            raise ValueError(f"{data_root}: its dataset.json lists no 'classes'. {next_step(data_root)}")
        super().__init__(data_root=data_root, metainfo=dict(classes=tuple(classes)), reduce_zero_label=True, **settings)


class ADE20K(_Segmentation, ADE20KDataset):
    """The real ADE20K (SceneParse150), 150 classes."""


class NYUDepth(_Checked, NYUDataset):
    """NYUv2's layout: uint16 PNG in millimetres, 0 = invalid."""

    label_key = "depth_map_path"

    def check_files(self, paths: list[Path]) -> None:
        self.depths = check_depth_labels(paths)

    def _entry(self, folder: Path, name: Path) -> dict:
        return {**super()._entry(folder, name), "category_id": self._get_category_id_from_filename(name.name)}

    def _get_category_id_from_filename(self, image_fname: str) -> int:
        # mmseg/datasets/nyu.py:89 raises StopIteration on a name without a digit; probes have no use for the category.
        return -1


class ClassFolder(ImageFolder):
    """ImageNet's layout, ``root/<class>/*.jpg``; classes are the folders in alphabetical order, hidden ones apart."""

    def __init__(self, root: str | Path, transform=None):
        require_folder(Path(root), Path(root).parent)
        if not any(entry.is_dir() for entry in Path(root).iterdir()):
            raise FileNotFoundError(f"{root}: no class folders in it. {next_step(root)}")
        super().__init__(str(root), transform=transform, is_valid_file=_is_image)
        if {name.lower() for name in self.classes} <= _SPLITS:
            raise ValueError(
                f"{root}: its class folders are {', '.join(self.classes)}, which are splits; give one of them"
            )

    def find_classes(self, directory: str) -> tuple[list[str], dict[str, int]]:
        classes = sorted(e.name for e in Path(directory).iterdir() if e.is_dir() and not e.name.startswith("."))
        return classes, {name: number for number, name in enumerate(classes)}


_SPLITS = {"train", "training", "val", "valid", "validation", "test", "testing"}


def _is_image(path: str) -> bool:
    return path.lower().endswith(EXTENSIONS) and not Path(path).name.startswith(".")


def require_folder(folder: Path, root: Path) -> None:
    """FileNotFoundError that says what is there instead."""
    if folder.is_dir():
        return
    nearest = next((parent for parent in folder.parents if parent.is_dir()), Path("."))
    found = ", ".join(sorted(entry.name for entry in nearest.iterdir())[:8]) or "nothing"
    raise FileNotFoundError(f"{root}: no folder {folder} (found in {nearest}: {found}). {next_step(folder)}")


def read_dataset_json(data_root: str | Path) -> dict:
    """What `dataset.json` in `data_root` or the folder above says about the data; {} when there is none."""
    for folder in (Path(data_root), Path(data_root).parent):
        file = folder / "dataset.json"
        if file.is_file():
            try:
                return json.loads(file.read_text())
            except json.JSONDecodeError as error:
                raise ValueError(f"{file} is not valid JSON ({error}). {next_step(folder)}") from error
    return {}
