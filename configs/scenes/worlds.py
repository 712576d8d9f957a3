"""The whole space, in a world where hue and shape tell the class: what a policy learns, and what it is worth.

worlds_rooms.py and worlds_colours.py are the same comparison in worlds where other things tell the class.

Command:  python tools/prepare_data.py scenes --seed 4 --out data/worlds
          python tools/compare.py configs/scenes/worlds.py
Expected: docs/benchmark.md, "The whole space in three worlds"
"""

from mmengine.config import read_base

with read_base():
    from .._base_.benchmark import *

from torch.optim import AdamW

title = "The whole space: hue and shape tell the class, exposure varies"
work_dir = "runs/worlds"
cfg_options = {**_every_run, "unlabeled.root": "data/worlds/imagenet/train"}
feedback_options = {
    "feedback.pools.segmentation.dataset.root": "data/worlds/ade20k",
    "feedback.pools.depth.dataset.root": "data/worlds/nyuv2",
}
probes = "configs/probes/worlds.py"
baseline, candidate = "fixed", "whole"
correction = None
budget = dict(baseline_steps=400, clock="processor")
arms = dict(
    fixed=_verdict_arms["fixed"],
    whole=dict(config="simclr_whole.py", label="V-Pretraining, whole space"),
    adamw=dict(
        like="whole",
        cfg_options={"designer_optimizer": dict(type=AdamW, lr=0.1, weight_decay=0.0)},
        label="V-Pretraining, whole space, AdamW on φ",
    ),
    negated=dict(like="whole", cfg_options={"feedback.control": "negated"}, label="negated feedback"),
)
