"""The downstream tasks that value a step: a head and a loss each."""

from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from vssl.datasets.label_checks import check_class_labels, check_depth_labels
from vssl.distributed import average
from vssl.feedback.heads import LinearHead

IGNORE = 255


def _mean_over(total: Tensor, count: Tensor) -> Tensor:
    """total / count, where `count` is taken over all ranks: the mean over the whole batch once ranks are averaged."""
    (count,) = average([count])
    return total / count.clamp_min(1.0)


class Segmentation(nn.Module):
    """Semantic segmentation: cross-entropy over labeled pixels (paper: CE(H_seg(F_θ(x)), y)).

    Args:
        dim: width of the backbone's tokens.
        num_classes: number of classes C; labels are 0..C-1, 255 is ignored.
    """

    def __init__(self, dim: int, num_classes: int):
        super().__init__()
        self.num_classes = num_classes
        self.head = LinearHead(dim, num_classes)

    def loss(
        self, features: Float[Tensor, "batch dim rows columns"], labels: Int[Tensor, "batch height width"]
    ) -> Float[Tensor, ""]:
        logits = F.interpolate(self.head(features).float(), labels.shape[-2:], mode="bilinear", align_corners=False)
        total = F.cross_entropy(logits, labels, ignore_index=IGNORE, reduction="sum")
        return _mean_over(total, (labels != IGNORE).sum().float())

    def check_files(self, paths: Sequence[Path]) -> None:
        """Raises ValueError when the files cannot hold 0 = unlabeled, 1..C; see `check_class_labels`."""
        check_class_labels(paths, self.num_classes)

    def check(self, labels: Int[Tensor, "height width"], where: str) -> None:
        """Raises ValueError when a label lies outside 0..C-1 and is not 255."""
        wrong = labels[(labels != IGNORE) & ((labels < 0) | (labels >= self.num_classes))]
        if wrong.numel():
            raise ValueError(
                f"{where}: label {int(wrong[0])} is outside 0..{self.num_classes - 1} (num_classes). "
                "Set num_classes to the data's number of classes; annotation PNGs hold 0 = unlabeled, 1..C"
            )


class Depth(nn.Module):
    """Monocular depth: softplus of a 1×1 convolution, mean absolute error in metres over valid pixels.

    Args:
        dim: width of the backbone's tokens.
        min_depth, max_depth: pixels outside this range (metres), and 0 = missing, are not counted.
    """

    def __init__(self, dim: int, min_depth: float = 1e-3, max_depth: float = 10.0):
        super().__init__()
        if not 0 < min_depth < max_depth:
            raise ValueError(f"depth task: 0 < min_depth < max_depth is needed, got {min_depth} and {max_depth}")
        self.min_depth, self.max_depth = min_depth, max_depth
        self.head = LinearHead(dim, 1)

    def loss(
        self, features: Float[Tensor, "batch dim rows columns"], depth: Float[Tensor, "batch height width"]
    ) -> Float[Tensor, ""]:
        metres = F.interpolate(F.softplus(self.head(features).float()), depth.shape[-2:], mode="bilinear")[:, 0]
        valid = (depth >= self.min_depth) & (depth <= self.max_depth)
        return _mean_over((metres - depth).abs()[valid].sum(), valid.sum().float())

    def check_files(self, paths: Sequence[Path]) -> None:
        """Raises ValueError when the files hold metres or centimetres; see `check_depth_labels`."""
        check_depth_labels(paths)

    def check(self, depth: Float[Tensor, "height width"], where: str) -> None:
        """Raises ValueError when no pixel is valid: the unit is wrong, or nothing could be learned from it."""
        valid = (depth >= self.min_depth) & (depth <= self.max_depth)
        if not torch.any(valid):
            raise ValueError(
                f"{where}: no depth in [{self.min_depth}, {self.max_depth}] m (largest {float(depth.max()):.3g}). "
                "Depth PNGs hold uint16 millimetres, 0 = missing"
            )
