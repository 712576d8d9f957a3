"""Decoded labeled images, read once per process and shared by the probes of any number of backbones."""

import copy
import os
import warnings
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Int, UInt8
from mmengine.dataset import BaseDataset, Compose, pseudo_collate
from mmseg.registry import DATASETS
from mmseg.structures import SegDataSample
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Subset
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as T

from vssl.datasets.conventions import read_dataset_json
from vssl.datasets.files import read_image
from vssl.probes.corruptions import corrupted_tensors
from vssl.probes.datasets import ClassFolder
from vssl.probes.dense.reading import with_own_reader
from vssl.probes.dense.scoring import check_labels

DETERMINISTIC = (
    "LoadImageFromFile",
    "ReadImage",
    "LoadAnnotations",
    "LoadDepthAnnotation",
    "ReadDepth",
    "Resize",
    "NYUCrop",
    "KITTICrop",
    "PackSegInputs",
)


class DenseBatch(NamedTuple):
    """mmseg's own batch format: uint8 BGR images (3, H, W) of one size, and their samples."""

    inputs: list[UInt8[Tensor, "3 height width"]]
    data_samples: list[SegDataSample]


class DenseSplit:
    """One split of an mmseg dataset with its pipeline: decoded and kept, or streamed when augmentation is random.

    Args:
        config: mmseg dataset config, `type` being the class.
        keep: hold every decoded image; only for pipelines without random steps.
        listed: the same dataset with another pipeline and all its images, where it was built already (`listed`).
    """

    def __init__(self, config: dict, keep: bool, num_workers: int = 0, listed: BaseDataset | None = None):
        self.config, self.num_workers = config, num_workers
        random = [n for n in transform_names(config) if n not in DETERMINISTIC]
        if keep and random:
            raise ValueError(f"{', '.join(random)} may be random, so that images cannot be kept; use path='runner'")
        with warnings.catch_warnings():  # albumentations warns of arguments it does not know, and runs without them
            warnings.filterwarnings("error", message="Argument.*not valid for transform")
            try:
                read = {**config, "pipeline": with_own_reader(config["pipeline"])}
                self.dataset = DATASETS.build(read) if listed is None else part_of(listed, read)
            except UserWarning as error:
                raise ValueError(f"the pipeline of {config.get('data_root')}: {error}") from error
        self.classes = self.dataset.metainfo["classes"]
        self.items = [self._read(i) for i in range(len(self.dataset))] if keep else None
        self.corruption: tuple[str, int] | None = None

    def corrupted(self, name: str, severity: int) -> "DenseSplit":
        """The same images under a corruption; files that are decoded stay so."""
        changed = copy.copy(self)
        changed.corruption = (name, severity)
        return changed

    def first(self, count: int) -> list[dict]:
        """The first items, checked: what can be known of a pipeline before the work starts."""
        return self.items[:count] if self.items else [self._read(i) for i in range(min(count, len(self)))]

    def __len__(self) -> int:
        return len(self.dataset)

    def files(self) -> list[str]:
        return [self.dataset.get_data_info(i)["img_path"] for i in range(len(self))]

    def _read(self, index: int) -> dict:
        item = self.dataset[index]
        sample, image = item["data_samples"], item["inputs"]
        if "gt_sem_seg" in sample:
            labels, path = sample.gt_sem_seg.data, sample.metainfo.get("seg_map_path")
            check_labels(labels, len(self.classes), path)
        else:
            labels, path = sample.gt_depth_map.data, sample.metainfo.get("depth_map_path")
        if labels.shape[1:] != image.shape[1:] and labels.shape[1:] != sample.metainfo["ori_shape"]:
            raise ValueError(
                f"{path}: labels are {tuple(labels.shape[1:])} px, the image is {tuple(image.shape[1:])} px "
                f"({tuple(sample.metainfo['ori_shape'])} on disk)"
            )
        return item

    def batches(self, batch_size: int) -> Iterator[DenseBatch]:
        """Everything once, in order; a batch ends early where the image size changes (mmseg cannot stack sizes)."""
        loader = DataLoader(self.dataset, batch_size=1, num_workers=self.num_workers, collate_fn=lambda items: items[0])
        batch: list[dict] = []
        for item in self.items or loader:
            if batch and (len(batch) == batch_size or item["inputs"].shape != batch[0]["inputs"].shape):
                yield self._batch(batch)
                batch = []
            batch.append(item)
        if batch:
            yield self._batch(batch)

    def _batch(self, items: list[dict]) -> DenseBatch:
        if self.corruption is None:
            return _collate(items)
        rgb, paths = [item["inputs"].flip(0) for item in items], [item["data_samples"].img_path for item in items]
        changed = corrupted_tensors(rgb, paths, self.corruption)
        return _collate([{**item, "inputs": image.flip(0)} for item, image in zip(items, changed, strict=True)])


def listed(config: dict) -> BaseDataset:
    """A dataset's files, listed and every label checked: what all its pipelines and parts have in common."""
    return DATASETS.build({**files_of(config), "pipeline": []})


def files_of(config: dict) -> dict:
    return {key: value for key, value in config.items() if key not in ("pipeline", "indices")}


def part_of(dataset: BaseDataset, config: dict) -> BaseDataset:
    """What building `config` would give, from a dataset whose files are listed: no file is read."""
    part = copy.copy(dataset)
    if "indices" in config:
        # on a shallow copy: mmengine's get_subset remembers every dataset it ever copied by its address
        part.get_subset_(config["indices"])
    part.pipeline = Compose(config["pipeline"])
    return part


def _collate(items: list[dict]) -> DenseBatch:
    batch = pseudo_collate(items)
    inputs, samples = batch["inputs"], batch["data_samples"]
    return DenseBatch(inputs, [_shallow(sample, image) for image, sample in zip(inputs, samples, strict=True)])


def _shallow(sample: SegDataSample, image: Tensor) -> SegDataSample:
    """A sample that shares the labels: a segmentor writes its prediction into what it is given.

    Its `img_shape` is the image's own: crops by albumentations leave a stale one, and mmseg enlarges outputs to it.
    """
    copy = SegDataSample(metainfo={**sample.metainfo, "img_shape": tuple(image.shape[1:])})
    for name, value in sample.items():
        copy.set_data({name: value})
    return copy


def transform_names(config: dict) -> list[str]:
    """Names of a dataset config's pipeline steps, their types given as classes or as strings."""
    types = [step["type"] for step in config.get("pipeline", [])]
    return [t if isinstance(t, str) else t.__name__ for t in types]


class FolderSplit:
    """One split of an ImageNet folder as uint8 images: short side to `resize` px, centre crop of `size` px.

    With `limit`, that many images, evenly spaced over the sorted list. `interpolation` is "bilinear" or "bicubic".
    """

    def __init__(
        self,
        root: str,
        size: int,
        resize: int,
        limit: int | None = None,
        keep: bool = True,
        num_workers: int = 0,
        interpolation: str = "bilinear",
    ):
        self.root, self.num_workers = root, num_workers

        def transform(image: Tensor) -> Tensor:
            if min(image.shape[1:]) != resize:
                image = T.resize(image, [resize], InterpolationMode(interpolation), antialias=True)
            return T.center_crop(image, [size, size])

        self.dataset = ClassFolder(root, transform)
        self.dataset.loader = decode
        self.classes = self.dataset.classes
        if limit is not None and limit < len(self.dataset):
            samples = self.dataset.samples
            self.dataset.samples = [samples[i * len(samples) // limit] for i in range(limit)]
            self.dataset.targets = [target for _, target in self.dataset.samples]
        self.targets: Int[Tensor, " images"] = torch.tensor(self.dataset.targets)
        self.images = torch.stack([self.dataset[i][0] for i in range(len(self.dataset))]) if keep else None
        self.corruption: tuple[str, int] | None = None

    def corrupted(self, name: str, severity: int) -> "FolderSplit":
        """The same images under a corruption; files that are decoded stay so."""
        changed = copy.copy(self)
        changed.corruption = (name, severity)
        return changed

    def __len__(self) -> int:
        return len(self.targets)

    def files(self) -> list[str]:
        return [path for path, _ in self.dataset.samples]

    def batches(
        self, batch_size: int, rows: Sequence[int] | None = None
    ) -> Iterator[UInt8[Tensor, "batch 3 size size"]]:
        """Every image in order, or those in `rows`."""
        files = self.files()
        paths = iter(files if rows is None else [files[i] for i in rows])
        for images in self._clean_batches(batch_size, rows):
            if self.corruption is not None:
                images = torch.stack(corrupted_tensors(list(images), list(islice(paths, len(images))), self.corruption))
            yield images

    def _clean_batches(self, batch_size: int, rows: Sequence[int] | None) -> Iterator[Tensor]:
        if self.images is not None:
            yield from (self.images if rows is None else self.images[list(rows)]).split(batch_size)
        else:
            dataset: Dataset = self.dataset if rows is None else Subset(self.dataset, rows)
            yield from (images for images, _ in DataLoader(dataset, batch_size, num_workers=self.num_workers))


def decode(path: str) -> UInt8[Tensor, "3 height width"]:
    """Raises UnreadableImage, a ValueError that names the file."""
    return torch.from_numpy(read_image(Path(path)).transpose(2, 0, 1).copy())


def require_disjoint(train: DenseSplit | FolderSplit, val: DenseSplit | FolderSplit) -> None:
    """Raises ValueError when an image is in both: the score would be of what the head was fitted on."""
    if both := {os.path.realpath(file) for file in train.files()} & {os.path.realpath(file) for file in val.files()}:
        raise ValueError(
            f"{len(both)} of the {len(val.files())} validation images are training images too, e.g. {min(both)}; give "
            "another folder for one of the two"
        )


class ProbeData:
    """Splits by their configs. Pass one object to every `run_probes` of a process and files are decoded once.

    Label files are checked once, too, whatever pipelines and parts of a split are asked for.
    """

    def __init__(self):
        self._dense: dict[str, DenseSplit] = {}
        self._folders: dict[str, FolderSplit] = {}
        self._listed: dict[str, BaseDataset] = {}

    def dense(self, config: dict, keep: bool = True, num_workers: int = 0) -> DenseSplit:
        key = f"{keep} {config!r}"
        if key not in self._dense:
            files = repr(files_of(config))
            if files not in self._listed:
                self._listed[files] = listed(config)
            self._dense[key] = DenseSplit(config, keep, num_workers, self._listed[files])
        return self._dense[key]

    def folder(self, root: str, **settings) -> FolderSplit:
        key = f"{root} {settings!r}"
        if key not in self._folders:
            self._folders[key] = FolderSplit(root, **settings)
        return self._folders[key]


def source_card(data_root: str, train: int, val: int) -> dict:
    """The card's lines about data: where it came from, split sizes, and what dataset.json says of its making.

    Quoted are its plain values, and the entries of `counts`, `hashes` and `options` as ``"hashes.splits_sha256"``.
    """
    description = read_dataset_json(data_root)
    about = {key: value for key, value in description.items() if isinstance(value, str | int | float)}
    for group in ("counts", "hashes", "options"):
        about |= {f"{group}.{key}": value for key, value in (description.get(group) or {}).items()}
    return {"data": {"root": str(data_root), **about}, "train_images": train, "val_images": val}
