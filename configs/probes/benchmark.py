"""configs/probes/scenes.py on the scenes from which scores are reported (configs/_base_/benchmark.py)."""

from mmengine.config import read_base

with read_base():
    from .scenes import *

data_root = "data/benchmark"
for _task, _layout in (("segmentation", "ade20k"), ("depth", "nyuv2")):
    for _split in ("train", "val"):
        probes[_task][_split].update(data_root=f"{data_root}/{_layout}")
for _task in ("classification", "knn"):
    probes[_task].update(train=f"{data_root}/imagenet/train", val=f"{data_root}/imagenet/val", data_root=data_root)
