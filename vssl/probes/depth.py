"""The depth probe."""

import numpy as np
from mmseg.models.segmentors import DepthEstimator
from torch import Tensor

from vssl.probes.data import DenseSplit
from vssl.probes.dense import DenseProbe, rgb
from vssl.probes.heads import LinearDepthHead, ValidDepthLoss
from vssl.probes.metrics import DepthErrors


class SlidingDepthEstimator(DepthEstimator):
    """mmseg's, with slide mode repaired: depth_estimator.py:324 runs it, then overwrites it with whole-image."""

    def inference(self, inputs: Tensor, batch_img_metas: list[dict]) -> Tensor:
        if self.test_cfg.get("mode") == "slide":
            return self.slide_inference(inputs, batch_img_metas)
        return super().inference(inputs, batch_img_metas)


class DepthProbe(DenseProbe):
    """Depth errors of a linear head (softplus) on frozen patch features.

    Args:
        min_depth, max_depth: valid range in metres, for loss and score.
        power: the loss is |error|^power: 1 or 2.
        eigen_crop: score Eigen's region of NYUv2 only.
    """

    task, segmentor, head_type, label_fill = "depth", SlidingDepthEstimator, LinearDepthHead, 0

    def __init__(self, *, min_depth=1e-3, max_depth=10.0, power=1, eigen_crop: bool = False, **settings):
        super().__init__(**settings)
        self.range, self.power, self.eigen_crop = dict(min_depth=min_depth, max_depth=max_depth), power, eigen_crop

    def head_settings(self, train: DenseSplit) -> dict:
        return dict(loss_decode=dict(type=ValidDepthLoss, power=self.power, **self.range))

    def metric(self) -> DepthErrors:
        return DepthErrors(eigen_crop=self.eigen_crop, **self.range)

    def scoring(self) -> dict:
        return {
            "loss": f"L{self.power} over valid pixels",
            "valid_depth_m": list(self.range.values()),
            "eigen_crop": self.eigen_crop,
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
        }
