"""configs/probes/scenes.py at 224 px: the same probes, heads and solver, on the scenes of configs/scenes224.

    python tools/probe.py configs/probes/scenes224.py --backbone runs/NAME/backbone.safetensors

Expected: not run: no GPU at hand
"""

from mmengine.config import read_base

with read_base():
    from .scenes import *

size, data_root = 224, "data/scenes224"
for _task, _layout in (("segmentation", "ade20k"), ("depth", "nyuv2")):
    probes[_task].update(size=(size, size), precision="bf16")
    probes[_task]["head"].update(label_stride=8)  # two labels a patch in either direction
    for _split in ("train", "val"):
        probes[_task][_split].update(data_root=f"{data_root}/{_layout}")
        for _step in probes[_task][_split]["pipeline"]:
            if "scale" in _step:
                _step.update(scale=(size, size))
for _task in ("classification", "knn"):
    probes[_task].update(
        size=size, train=f"{data_root}/imagenet/train", val=f"{data_root}/imagenet/val", data_root=data_root
    )
