"""The segmentation probe."""

import numpy as np
from torch import Tensor

from vssl.datasets.conventions import IGNORE
from vssl.probes.decoded_images import DenseSplit
from vssl.probes.dense.base import DenseProbe, rgb
from vssl.probes.dense.heads import LabeledHead, LinearSegHead
from vssl.probes.dense.inference import Segmentor
from vssl.probes.dense.scoring import ClassIoU
from vssl.scores import Score


class SegmentationProbe(DenseProbe):
    """mIoU of a linear head on frozen patch features."""

    task, segmentor, label_fill = "segmentation", Segmentor, IGNORE
    head_type: type[LabeledHead] = LinearSegHead

    def score_info(self) -> dict[str, Score]:
        titles = {"mIoU": "mIoU", "aAcc": "pixel accuracy", "mAcc": "class accuracy"}
        return {name: Score(title, "%", digits=2) for name, title in titles.items()}

    def left_out(self, counts: dict[str, int]) -> str:
        seen, classes = counts["classes_seen"], counts["classes"]
        return "" if seen == classes else f"only {seen} of {classes} classes are in the labels"

    def conventions(self, train: DenseSplit) -> dict:
        labels = getattr(train.dataset, "labels", None)
        return {} if labels is None else {"label_values": train.dataset.label_values.value, "labels": labels}

    def head_settings(self, train: DenseSplit) -> dict:
        return dict(num_classes=len(train.classes))

    def metric(self) -> ClassIoU:
        return ClassIoU()

    def scoring(self) -> dict:
        loss = dict(self.head.get("loss_decode") or dict(avg_non_ignore=True))
        pixels = "labeled pixels" if loss.get("avg_non_ignore", False) else "all pixels, 0 at ignored ones"
        return {"loss": f"cross-entropy over {pixels}", "averaging": "areas pooled over images, mean over classes"}

    def draw(self, shown: list[tuple[Tensor, dict]], val: DenseSplit) -> dict[str, np.ndarray]:
        maps = {"seg_label": "gt_sem_seg", "seg_pred": "pred_sem_seg"}
        return {
            "image": rgb(shown),
            **{
                k: np.stack([s[v]["data"][0].cpu().numpy() for _, s in shown]).astype(np.int16) for k, v in maps.items()
            },
            "classes": np.array(val.classes),
            "seg_title": np.array("Segmentation"),
        }
