"""Scores of dense predictions, as mmengine metrics. Values are Python floats, unrounded."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool
from mmengine.evaluator import BaseMetric
from mmseg.evaluation import IoUMetric
from torch import Tensor

from vssl.datasets.conventions import IGNORE


class ClassIoU(IoUMetric):
    """mIoU, mAcc and aAcc in percent, per-class IoU, and how many classes the score is about.

    The areas are mmseg's. A class that neither labels nor predictions contain has no IoU and is left out of the mean
    (as in ADE20K's own score), which lifts mIoU on small subsets: `classes_seen` of `classes` says how far. After
    `evaluate`, `per_class` holds {name: IoU in percent, or None}.
    """

    per_class: dict[str, float | None]
    default_prefix = ""  # mmengine warns about None

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        for sample in data_samples:
            labels = sample["gt_sem_seg"]["data"]
            check_labels(labels, len(self.dataset_meta["classes"]), sample.get("seg_map_path"), self.ignore_index)
        super().process(data_batch, data_samples)

    def compute_metrics(self, results: list) -> dict[str, float]:
        # mmseg counts in float32, which is exact for one image only
        intersect, union, _, label = (sum(a.double() for a in areas) for areas in zip(*results, strict=True))
        if label.sum() == 0:
            raise ValueError("no labeled pixel in the whole validation split; nothing can be scored")
        iou, accuracy = 100 * (intersect / union).numpy(), 100 * (intersect / label).numpy()
        names = self.dataset_meta["classes"]
        self.per_class = {n: None if np.isnan(v) else float(v) for n, v in zip(names, iou, strict=True)}
        return {
            "mIoU": float(np.nanmean(iou)),
            "aAcc": float(100 * intersect.sum() / label.sum()),
            "mAcc": float(np.nanmean(accuracy)),
            "classes_seen": int((label > 0).sum()),
            "classes": len(names),
        }


def check_labels(labels: Tensor, classes: int, where: str | None, ignore_index: int = IGNORE) -> None:
    """Refuse label values that are neither a class nor ignored; mmseg's histograms drop them without a word."""
    wrong = labels[(labels != ignore_index) & ((labels < 0) | (labels >= classes))]
    if len(wrong):
        raise ValueError(
            f"{where or 'labels'}: class index {int(wrong[0])} after loading, but there are {classes} classes "
            f"(0..{classes - 1}, {ignore_index} = ignored). ADE20K files hold 0 = unlabeled and 1..{classes}; "
            "label_values names other conventions"
        )


class DepthErrors(BaseMetric):
    """RMSE in metres (mean of per-image values, and pooled over pixels), AbsRel, δ1..δ3 (means of per-image values).

    Predictions are clamped to the valid range, as the published NYUv2 numbers are. Images without a valid pixel are
    left out and counted. Only six numbers per image are kept.

    Args:
        min_depth, max_depth: valid range of labels, metres; labels outside it (0 = invalid) are ignored.
        eigen_crop: score only the region of Eigen et al., rows 45:471 and columns 41:601 of 480×640, scaled with the
            label's size and cut to whole pixels (mmseg's is in absolute pixels, wrong at every other size).
        garg_crop: score only the region of Garg et al. that KITTI's numbers are about: rows 0.408 to 0.992 and columns
            0.036 to 0.964 of the image, cut to whole pixels.
        open_range: labels at exactly `min_depth` or `max_depth` are ignored too, as in the code of DINOv2 and DINOv3.
    """

    default_prefix = ""

    def __init__(
        self,
        min_depth: float = 1e-3,
        max_depth: float = 10.0,
        eigen_crop: bool = False,
        garg_crop: bool = False,
        open_range: bool = False,
        **settings,
    ):
        super().__init__(**settings)
        self.garg_crop = garg_crop
        self.min_depth, self.max_depth = min_depth, max_depth
        self.eigen_crop, self.open_range = eigen_crop, open_range

    def valid(self, target: Tensor) -> Bool[Tensor, "height width"]:
        if self.open_range:
            valid = (target > self.min_depth) & (target < self.max_depth)
        else:
            valid = (target >= self.min_depth) & (target <= self.max_depth)
        if self.eigen_crop:
            (height, width), inside = target.shape, torch.zeros_like(valid)
            inside[45 * height // 480 : 471 * height // 480, 41 * width // 640 : 601 * width // 640] = True
            valid &= inside
        if self.garg_crop:
            (height, width), inside = target.shape, torch.zeros_like(valid)
            rows = slice(int(0.40810811 * height), int(0.99189189 * height))
            inside[rows, int(0.03594771 * width) : int(0.96405229 * width)] = True
            valid &= inside
        return valid

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        for sample in data_samples:
            target = sample["gt_depth_map"]["data"].squeeze(0).double()
            depth = sample["pred_depth_map"]["data"].squeeze(0).to(target)
            if not depth.isfinite().all():
                raise ValueError(f"{sample.get('img_path', 'an image')}: the predicted depth is not finite")
            valid = self.valid(target)
            target, depth = target[valid], depth[valid].clamp(self.min_depth, self.max_depth)
            error, ratio = depth - target, torch.maximum(depth / target, target / depth)
            sums = [error.square().sum(), (error.abs() / target).sum(), *((ratio < 1.25**i).sum() for i in (1, 2, 3))]
            self.results.append((target.numel(), *(float(value) for value in sums)))

    def compute_metrics(self, results: list) -> dict[str, float]:
        pixels, square, relative, *deltas = np.array(results, dtype=np.float64).T
        seen = pixels > 0
        if not seen.any():
            raise ValueError(
                f"no depth label inside [{self.min_depth}, {self.max_depth}] m in the whole split. Labels are uint16 "
                "millimetres (mmseg: depth_rescale_factor=1e-3); are they in another unit?"
            )
        n = pixels[seen]
        means = {f"delta{i + 1}": float((d[seen] / n).mean()) for i, d in enumerate(deltas)}
        return {
            "RMSE": float(np.sqrt(square[seen] / n).mean()),
            "RMSE_pooled": float(np.sqrt(square[seen].sum() / n.sum())),
            "AbsRel": float((relative[seen] / n).mean()),
            **means,
            "images": int(seen.sum()),
            "images_without_valid_depth": int((~seen).sum()),
        }
