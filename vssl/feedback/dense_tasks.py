"""The paper's downstream tasks: semantic segmentation and monocular depth."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset

from vssl.datasets.conventions import IGNORE, UNSTATED
from vssl.datasets.label_checks import check_class_labels, check_depth_labels
from vssl.feedback.base import FeedbackTask, checked_stride, every, mean_over
from vssl.feedback.task_heads import LinearHead


def _at_grid(labels: Tensor, grid: tuple[int, int]) -> Tensor:
    return F.interpolate(labels.unsqueeze(1).float(), grid, mode="nearest-exact").squeeze(1)


class Segmentation(FeedbackTask):
    """Semantic segmentation: cross-entropy over labeled pixels (paper: CE(H_seg(F_θ(x)), y)).

    Args:
        dim: width of the backbone's tokens.
        num_classes: number of classes C; labels are 0..C-1, 255 is ignored. A config may leave it out where
            `dataset.json` lists the classes.
        label_stride: the loss looks at every n-th label pixel in both directions; neighbours say almost the same.
    """

    label_kind, score_unit, higher_is_better = "classes", "%", True

    def __init__(self, dim: int, num_classes: int | None = None, label_stride: int = 1):
        super().__init__()
        if num_classes is None:
            raise ValueError("segmentation: no num_classes, and no dataset.json beside the labels lists classes")
        self.num_classes, self.label_stride = num_classes, checked_stride(label_stride)
        self.head = LinearHead(dim, num_classes)

    @classmethod
    def stated_by(cls, dataset: Dataset) -> dict[str, Any]:
        """The number of classes that `dataset.json` lists."""
        return {"num_classes": len(classes)} if (classes := getattr(dataset, "classes", ())) else {}

    def loss(
        self, features: Float[Tensor, "batch dim rows columns"], labels: Int[Tensor, "batch height width"]
    ) -> Float[Tensor, ""]:
        labels = every(labels, self.label_stride)
        logits = F.interpolate(self.head(features).float(), labels.shape[-2:], mode="bilinear", align_corners=False)
        total = F.cross_entropy(logits, labels, ignore_index=IGNORE, reduction="sum")
        return mean_over(total, (labels != IGNORE).sum().float())

    def score(
        self, features: Float[Tensor, "batch dim rows columns"], labels: Int[Tensor, "batch height width"]
    ) -> Float[Tensor, ""]:
        """Pixel accuracy in percent, over labeled pixels."""
        logits = F.interpolate(self.head(features).float(), labels.shape[-2:], mode="bilinear", align_corners=False)
        right = (logits.argmax(1) == labels) & (labels != IGNORE)
        return 100 * mean_over(right.sum().float(), (labels != IGNORE).sum().float())

    def targets(
        self, labels: Int[Tensor, "batch height width"], grid: tuple[int, int]
    ) -> tuple[Float[Tensor, "batch classes rows columns"], Bool[Tensor, "batch rows columns"]]:
        """One-hot labels in the middles of the grid's cells, and which of them count."""
        labels = _at_grid(labels, grid).long()
        valid = labels != IGNORE
        return F.one_hot(labels.where(valid, 0), self.num_classes).movedim(-1, 1).float(), valid

    def check_files(self, paths: Sequence[Path], dataset: Dataset) -> str:
        """Raises ValueError when the files cannot hold what the dataset says; see `check_class_labels`."""
        values = getattr(dataset, "label_values", UNSTATED["label_values"])
        names = getattr(dataset, "classes", ())
        found = check_class_labels(paths, self.num_classes, values, names)
        return found.table(self.num_classes, values.value, names)

    def check(self, labels: Int[Tensor, "height width"], where: str) -> None:
        """Raises ValueError when a label lies outside 0..C-1 and is not 255."""
        wrong = labels[(labels != IGNORE) & ((labels < 0) | (labels >= self.num_classes))]
        if wrong.numel():
            raise ValueError(
                f"{where}: label {int(wrong[0])} is outside 0..{self.num_classes - 1} (num_classes). "
                "Set num_classes to the data's number of classes; annotation PNGs hold 0 = unlabeled, 1..C, or what "
                "label_values says"
            )


class Depth(FeedbackTask):
    """Monocular depth: softplus of a 1×1 convolution, mean absolute error in metres over valid pixels.

    Args:
        dim: width of the backbone's tokens.
        min_depth, max_depth: pixels outside this range (metres), and 0 = missing, are not counted.
        label_stride: as for `Segmentation`.
    """

    label_kind, score_unit, higher_is_better = "metres", "m", False

    def __init__(self, dim: int, min_depth: float = 1e-3, max_depth: float = 10.0, label_stride: int = 1):
        super().__init__()
        if not 0 < min_depth < max_depth:
            raise ValueError(f"depth task: 0 < min_depth < max_depth is needed, got {min_depth} and {max_depth}")
        self.min_depth, self.max_depth, self.label_stride = min_depth, max_depth, checked_stride(label_stride)
        self.head = LinearHead(dim, 1)

    def loss(
        self, features: Float[Tensor, "batch dim rows columns"], depth: Float[Tensor, "batch height width"]
    ) -> Float[Tensor, ""]:
        depth = every(depth, self.label_stride)
        return self._mean_error(features, depth)

    def score(
        self, features: Float[Tensor, "batch dim rows columns"], depth: Float[Tensor, "batch height width"]
    ) -> Float[Tensor, ""]:
        """Mean absolute error in metres over valid pixels, all of them whatever `label_stride` is."""
        return self._mean_error(features, depth)

    def _mean_error(self, features: Tensor, depth: Tensor) -> Tensor:
        metres = F.interpolate(F.softplus(self.head(features).float()), depth.shape[-2:], mode="bilinear")[:, 0]
        valid = (depth >= self.min_depth) & (depth <= self.max_depth)
        return mean_over((metres - depth).abs()[valid].sum(), valid.sum().float())

    def targets(
        self, depth: Float[Tensor, "batch height width"], grid: tuple[int, int]
    ) -> tuple[Float[Tensor, "batch 1 rows columns"], Bool[Tensor, "batch rows columns"]]:
        """Metres in the middles of the grid's cells, and which of them count."""
        depth = _at_grid(depth, grid)
        return depth.unsqueeze(1), (depth >= self.min_depth) & (depth <= self.max_depth)

    def check_files(self, paths: Sequence[Path], dataset: Dataset) -> str:
        """Raises ValueError when the files hold another unit, as far as the values show; see `DepthValues`."""
        found = check_depth_labels(paths, getattr(dataset, "depth_scale", UNSTATED["depth_scale"]))
        found.check_metres(f"{paths[0].parent}", self.min_depth, self.max_depth)
        return found.table()

    def check(self, depth: Float[Tensor, "height width"], where: str) -> None:
        """Raises ValueError when no pixel is valid: the unit is wrong, or nothing could be learned from it."""
        valid = (depth >= self.min_depth) & (depth <= self.max_depth)
        if not torch.any(valid):
            raise ValueError(
                f"{where}: no depth in [{self.min_depth}, {self.max_depth}] m (largest {float(depth.max()):.3g}). "
                "Depth PNGs hold uint16, 0 = missing; depth_scale says how many steps make a metre"
            )
