"""How to continue DINO without harm: a fresh head and teacher, a head that is trained first, and the start's own.

The start is itself DINO, 600 steps from MAE's start: DINO from scratch learns little in so few steps.

Command:  python tools/prepare_data.py scenes
          python tools/train.py configs/scenes/mae_start.py --work-dir runs/mae_start
          python tools/compare.py configs/scenes/continue_dino.py --jobs 2
Expected: docs/continuing.md
"""

from mmengine.config import read_base

with read_base():
    from .._base_.benchmark import *

title = "Continuing DINO"
work_dir = "runs/continue_dino"
start = dict(
    config="dino_fixed.py",
    cfg_options={"backbone.checkpoint": "runs/mae_start/backbone.safetensors", "schedule.head_share": 0.2},
    budget=dict(steps=600),
    label="start (MAE, then DINO)",
)
probes = "configs/probes/scenes.py"
baseline, candidate = "fresh", "whole_run"
seeds = [0, 1, 2]
correction = None
budget = dict(steps=250)
arms = dict(
    fresh=dict(config="dino_fixed.py", label="fresh head"),
    head_20=dict(like="fresh", cfg_options={"schedule.head_share": 0.2}, label="fresh head, alone for 50 of 250 steps"),
    head_60=dict(
        like="fresh",
        cfg_options={"schedule.head_share": 0.6},
        budget=dict(steps=625),
        label="fresh head, alone for 375 of 625 steps",
    ),
    whole_run=dict(like="fresh", continues="run", label="the start's head, teacher and moments"),
    whole_run_half=dict(
        like="whole_run",
        cfg_options={"optimizer.lr": 5e-4},
        label="the start's head, teacher and moments, half the rate",
    ),
)
