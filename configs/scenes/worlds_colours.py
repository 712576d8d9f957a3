"""worlds.py in another world: hue and shape tell the class, exposure does not vary.

Command:  python tools/prepare_data.py scenes --family colours --out data/colours
          python tools/compare.py configs/scenes/worlds_colours.py
Expected: docs/benchmark.md, "The whole space in three worlds"
"""

from mmengine.config import read_base

with read_base():
    from .worlds import *

title = "The whole space: hue and shape tell the class, exposure does not vary"
work_dir = "runs/worlds_colours"
cfg_options = {**_every_run, "unlabeled.root": "data/colours/imagenet/train"}
feedback_options = {
    "feedback.pools.segmentation.dataset.root": "data/colours/ade20k",
    "feedback.pools.depth.dataset.root": "data/colours/nyuv2",
}
probes = "configs/probes/colours.py"
