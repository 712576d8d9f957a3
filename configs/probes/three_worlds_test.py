"""configs/probes/three_worlds.py on the scenes of seed 2, on which no setting was chosen.

python tools/probe.py configs/probes/three_worlds_test.py --backbone runs/NAME/backbone.safetensors
"""

from mmengine.config import read_base

with read_base():
    from .three_worlds import *

_roots = dict(mixed="data/benchmark", colours="data/colours_test", rooms="data/rooms_test")
for _name, _probe in probes.items():
    _task, _world = _name.split("_")
    _root = _roots[_world]
    if _task == "knn":
        _probe.update(train=f"{_root}/imagenet/train", val=f"{_root}/imagenet/val", data_root=_root)
    else:
        for _part in ("train", "val"):
            _probe[_part]["data_root"] = f"{_root}/{'ade20k' if _task == 'segmentation' else 'nyuv2'}"
del _roots, _name, _probe, _task, _world, _root, _part
