"""configs/probes/scenes.py on the scenes of the verdict at twice the budget (configs/scenes/verdict_long.py)."""

from mmengine.config import read_base

with read_base():
    from .scenes import *

data_root = "data/benchmark_long"
_segmentation, _depth = dict(data_root=f"{data_root}/ade20k"), dict(data_root=f"{data_root}/nyuv2")
_classes = dict(train=f"{data_root}/imagenet/train", val=f"{data_root}/imagenet/val", data_root=data_root)
probes.merge(
    dict(
        segmentation=dict(train=_segmentation, val=_segmentation),
        depth=dict(train=_depth, val=_depth),
        classification=_classes,
        knn=_classes,
    )
)
