"""configs/probes/scenes.py on the scenes from which scores are reported (configs/_base_/benchmark.py)."""

from mmengine.config import read_base

with read_base():
    from .scenes import *


def _place(probes: dict, root: str) -> None:
    """Let the scenes' probes read the scenes below `root`."""
    for task, layout in (("segmentation", "ade20k"), ("depth", "nyuv2")):
        for split in ("train", "val"):
            probes[task][split].update(data_root=f"{root}/{layout}")
    for task in ("classification", "knn"):
        probes[task].update(train=f"{root}/imagenet/train", val=f"{root}/imagenet/val", data_root=root)


data_root = "data/benchmark"
_place(probes, data_root)
