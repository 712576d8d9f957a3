"""worlds.py in another world: shape alone tells the class, colours are nuisance.

Command:  python tools/prepare_data.py scenes --family rooms --out data/rooms
          python tools/compare.py configs/scenes/worlds_rooms.py
Expected: docs/benchmark.md, "The whole space in three worlds"
"""

from mmengine.config import read_base

with read_base():
    from .worlds import *

title = "The whole space: shape alone tells the class, colours are nuisance"
work_dir = "runs/worlds_rooms"
cfg_options = {**_every_run, "unlabeled.root": "data/rooms/imagenet/train"}
feedback_options = {
    "feedback.pools.segmentation.dataset.root": "data/rooms/ade20k",
    "feedback.pools.depth.dataset.root": "data/rooms/nyuv2",
}
probes = "configs/probes/rooms.py"
