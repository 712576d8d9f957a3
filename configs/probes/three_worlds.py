"""Segmentation, depth and kNN of configs/probes/scenes.py in each of three worlds: `mixed`, `colours` and `rooms`.

python tools/probe.py configs/probes/three_worlds.py --backbone runs/NAME/backbone.safetensors
"""

from mmengine.config import read_base

with read_base():
    from .scenes import *

_roots = dict(mixed="data/scenes", colours="data/colours", rooms="data/rooms")
_one_world = {name: probes[name].to_dict() for name in ("segmentation", "depth", "knn")}
probes = {}
for _world, _root in _roots.items():
    _classes = dict(train=f"{_root}/imagenet/train", val=f"{_root}/imagenet/val", data_root=_root)
    probes[f"knn_{_world}"] = {**_one_world["knn"], **_classes}
    for _task, _folder in (("segmentation", "ade20k"), ("depth", "nyuv2")):
        _probe = _one_world[_task]
        _there = {part: {**_probe[part], "data_root": f"{_root}/{_folder}"} for part in ("train", "val")}
        probes[f"{_task}_{_world}"] = {**_probe, **_there}
del _roots, _one_world, _world, _root, _classes, _task, _folder, _probe, _there
