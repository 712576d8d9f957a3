"""How to continue MAE without harm: a fresh decoder, one that is trained first, and the start's own.

Command:  python tools/prepare_data.py scenes
          python tools/compare.py configs/scenes/continue_mae.py --jobs 2
Expected: docs/continuing.md
"""

from mmengine.config import read_base

with read_base():
    from .._base_.benchmark import *

title = "Continuing MAE"
work_dir = "runs/continue_mae"
start = dict(config="mae_start.py", label="start (MAE)")
probes = "configs/probes/scenes.py"
baseline, candidate = "fresh", "whole_run"
seeds = [0, 1, 2]
correction = None
budget = dict(steps=470)
arms = dict(
    fresh=dict(config="mae_start.py", label="fresh decoder"),
    head_20=dict(
        like="fresh", cfg_options={"schedule.head_share": 0.2}, label="fresh decoder, alone for 94 of 470 steps"
    ),
    head_60=dict(
        like="fresh",
        cfg_options={"schedule.head_share": 0.6},
        budget=dict(steps=1175),
        label="fresh decoder, alone for 705 of 1175 steps",
    ),
    head_20_tenth=dict(
        like="head_20",
        cfg_options={"optimizer.lr": 1.5e-4},
        label="fresh decoder, alone for 94 steps, a tenth of the rate",
    ),
    head_20_layers=dict(
        like="head_20",
        cfg_options={"layer_decay": 0.65},
        label="fresh decoder, alone for 94 steps, layer_decay 0.65",
    ),
    whole_run=dict(like="fresh", continues="run", label="the start's decoder and moments"),
    whole_run_tenth=dict(
        like="whole_run",
        cfg_options={"optimizer.lr": 1.5e-4},
        label="the start's decoder and moments, a tenth of the rate",
    ),
)
