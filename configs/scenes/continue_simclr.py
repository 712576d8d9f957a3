"""How to continue SimCLR without harm: a fresh head, one that is trained first, and the start's own.

Command:  python tools/prepare_data.py scenes
          python tools/compare.py configs/scenes/continue_simclr.py --jobs 2
Expected: docs/continuing.md
"""

from mmengine.config import read_base

with read_base():
    from .._base_.benchmark import *

title = "Continuing SimCLR"
work_dir = "runs/continue_simclr"
probes = "configs/probes/scenes.py"
baseline, candidate = "fresh", "whole_run"
seeds = [0, 1, 2]
correction = None
budget = dict(steps=300)
arms = dict(
    fresh=dict(config="simclr_fixed.py", cfg_options={"schedule.head_share": 0.0}, label="fresh head"),
    head_20=dict(like="fresh", cfg_options={"schedule.head_share": 0.2}, label="fresh head, alone for 60 of 300 steps"),
    head_60=dict(
        like="fresh",
        cfg_options={"schedule.head_share": 0.6},
        budget=dict(steps=750),
        label="fresh head, alone for 450 of 750 steps",
    ),
    whole_run=dict(like="fresh", continues="run", label="the start's head and moments"),
    whole_run_half=dict(
        like="whole_run", cfg_options={"optimizer.lr": 5e-4}, label="the start's head and moments, half the rate"
    ),
)
