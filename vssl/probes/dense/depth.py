"""The depth probe."""

import copy
import inspect
from collections.abc import Sequence

import numpy as np
from torch import Tensor

from vssl.counts import counted
from vssl.datasets.conventions import Convention
from vssl.datasets.label_checks import DepthValues
from vssl.probes.decoded_images import DenseSplit, ProbeData, transform_names
from vssl.probes.dense.base import DenseProbe, rgb
from vssl.probes.dense.heads import LabeledHead, LinearDepthHead
from vssl.probes.dense.inference import DepthSegmentor
from vssl.probes.dense.losses import DepthLoss, SigLoss, ValidDepthLoss
from vssl.probes.dense.scoring import DepthErrors
from vssl.probes.fit import FullBatch
from vssl.probes.setting_checks import check_settings
from vssl.scores import Score


class DepthProbe(DenseProbe):
    """Depth errors of a linear head on frozen patch features.

    Args:
        min_depth, max_depth: valid range in metres, for head, losses and score.
        losses: configs of `DepthLoss`es, added up (default: L1); see vssl/probes/dense/losses.py.
        eigen_crop: score Eigen's region of NYUv2 only. garg_crop: score Garg's region of KITTI only.
        open_range: do not score labels at exactly `min_depth` or `max_depth`, see `DepthErrors`.
    """

    task, segmentor, label_fill = "depth", DepthSegmentor, 0
    head_type: type[LabeledHead] = LinearDepthHead

    def __init__(
        self,
        *,
        min_depth: float = 1e-3,
        max_depth: float = 10.0,
        losses: Sequence[dict] = (dict(type=ValidDepthLoss),),
        eigen_crop: bool = False,
        garg_crop: bool = False,
        open_range: bool = False,
        **settings,
    ):
        super().__init__(**settings)
        self.garg_crop = garg_crop
        self.range, self.eigen_crop = dict(min_depth=min_depth, max_depth=max_depth), eigen_crop
        self.open_range = open_range
        self.losses = [{**loss, **self.range} for loss in losses]
        self.built_losses = [_built(loss) for loss in self.losses]
        if isinstance(self.schedule, FullBatch) and any(
            isinstance(loss, SigLoss) and loss.warmup_steps for loss in self.built_losses
        ):
            raise ValueError("FullBatch minimises one loss; SigLoss changes after its warm-up: set its warmup_steps=0")
        for pipeline in (self.train["pipeline"], self.val["pipeline"]):
            _check_pipeline(pipeline)

    def score_info(self) -> dict[str, Score]:
        return {
            "RMSE": Score("RMSE", "m", "lower"),
            "RMSE_pooled": Score("RMSE, pooled", "m", "lower"),
            "AbsRel": Score("AbsRel", better="lower"),
            **{f"delta{i}": Score(f"δ{i}") for i in (1, 2, 3)},
        }

    def left_out(self, counts: dict[str, int]) -> str:
        without = counts["images_without_valid_depth"]
        return f"{counted(without, 'image')} without valid depth" if without else ""

    def load(self, data: ProbeData) -> tuple[DenseSplit, DenseSplit]:
        splits = super().load(data)
        for split in splits:
            depths = [item["data_samples"].gt_depth_map.data for item in split.first(8)]
            if not any(self.built_losses[0].valid(depth).any() for depth in depths):
                raise ValueError(
                    f"{split.config.get('data_root')}: no depth inside {list(self.range.values())} m in the first "
                    f"{len(depths)} images as the pipeline gives them (up to {max(d.max() for d in depths):g}). Set "
                    "the dataset's depth_scale, the steps of the files' values in a metre (or, for millimetres, "
                    "LoadDepthAnnotation's depth_rescale_factor=1e-3)"
                )
            if (found := _depths(split)) is not None:
                found.check_metres(f"{split.config.get('data_root')}", **self._metres())
        return splits

    def _metres(self) -> dict[str, float]:
        return {"low": self.range["min_depth"], "high": self.range["max_depth"]}

    def conventions(self, train: DenseSplit) -> dict:
        found = _depths(train)
        return {"depth_scale": _per_metre(train), **({} if found is None else {"labels": found.table()})}

    def head_settings(self, train: DenseSplit) -> dict:
        takes = inspect.signature(self.head_type.__init__).parameters
        return dict(loss_decode=self.losses, **{k: v for k, v in self.range.items() if k in takes})

    def metric(self) -> DepthErrors:
        crops = dict(eigen_crop=self.eigen_crop, garg_crop=self.garg_crop)
        return DepthErrors(open_range=self.open_range, **crops, **self.range)

    def scoring(self) -> dict:
        return {
            "loss": " + ".join(loss.describe() for loss in self.built_losses),
            "valid_depth_m": list(self.range.values()),
            "valid_depth_ends": "not scored" if self.open_range else "scored",
            "eigen_crop": self.eigen_crop,
            "garg_crop": self.garg_crop,
            "averaging": "per image (RMSE, AbsRel, delta), pooled over pixels (RMSE_pooled)",
        }

    def draw(self, shown: list[tuple[Tensor, dict]], val: DenseSplit) -> dict[str, np.ndarray]:
        maps = {"depth_label": "gt_depth_map", "depth_pred": "pred_depth_map"}
        return {
            "depth_image": rgb(shown),
            **{
                k: np.stack([s[v]["data"][0].cpu().numpy() for _, s in shown]).astype(np.float32)
                for k, v in maps.items()
            },
            "depth_title": np.array("Depth"),
            "depth_unit": np.array("m"),
        }


def _built(config: dict) -> DepthLoss:
    settings = dict(config)
    kind = settings.pop("type")
    check_settings(kind, settings, "loss of the depth probe")
    return kind(**settings)


# mmcv's own of these move the image and a segmentation map; mmseg's (or a list of fields) move depth as well.
_MMCV_LEAVES_DEPTH = ("RandomFlip", "Resize", "Pad", "CenterCrop")


def _depths(split: DenseSplit) -> DepthValues | None:
    """What a split's files hold, with the scale that they are read by."""
    found = copy.copy(getattr(split.dataset, "depths", None))
    if found is not None:
        found.scale = Convention(_per_metre(split), stated=True)
    return found


def _per_metre(split: DenseSplit) -> float:
    """Steps of the files' values in one metre, as they are read: the dataset's, else the pipeline's."""
    scale = getattr(split.dataset, "depth_scale", None)
    if scale is not None and scale.stated:
        return scale.value
    steps = zip(transform_names(split.config), split.config["pipeline"], strict=True)
    factors = [step.get("depth_rescale_factor", 1.0) for name, step in steps if name == "LoadDepthAnnotation"]
    return 1 / factors[0] if factors else 1000


def _check_pipeline(pipeline: Sequence[dict]) -> None:
    """Refuse what mmcv and mmseg do to depth without a word."""
    for name, step in zip(transform_names(dict(pipeline=pipeline)), pipeline, strict=True):
        for kind in (step["type"], step.get("resize_type")):
            if getattr(kind, "__module__", "").startswith("mmcv.") and kind.__name__ in _MMCV_LEAVES_DEPTH:
                raise ValueError(
                    f"mmcv's {kind.__name__} moves the image and leaves the depth map; use mmseg.datasets.transforms"
                )
        if name == "RandomRotate" and step.get("seg_pad_val", 255) != 0:
            raise ValueError(
                "RandomRotate fills the corners of a depth map with 255 metres; give it seg_pad_val=0 (invalid)"
            )
        if name == "LoadDepthAnnotation" and not step.get("to_float32", True):
            raise ValueError("LoadDepthAnnotation(to_float32=False) cannot turn steps into metres; leave it True")
        if name == "RandomCrop" and step.get("cat_max_ratio", 1.0) != 1.0:
            raise ValueError("RandomCrop(cat_max_ratio=…) counts classes; a depth map has none")
