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
    config="configs/scenes/dino_fixed.py",
    cfg_options={
        **_stream(_validation),
        "backbone.checkpoint": "runs/mae_start/backbone.safetensors",
        "schedule.head_share": 0.2,
    },
    budget=dict(steps=600),
    label="start (MAE, then DINO)",
)
probes = "configs/probes/scenes.py"
baseline, candidate = "fresh", "whole_run"
seeds = [0, 1, 2]
correction = None
budget = dict(steps=250)


def _arm(label: str, more: dict | None = None, **options) -> dict:
    options = {**_stream(_validation), **options}
    return dict(config="configs/scenes/dino_fixed.py", cfg_options=options, label=label, **(more or {}))


arms = dict(
    fresh=_arm("fresh head"),
    head_20=_arm("fresh head, alone for 50 of 250 steps", **{"schedule.head_share": 0.2}),
    head_60=_arm(
        "fresh head, alone for 375 of 625 steps", dict(budget=dict(steps=625)), **{"schedule.head_share": 0.6}
    ),
    whole_run=_arm("the start's head, teacher and moments", dict(continues="run")),
    whole_run_half=_arm(
        "the start's head, teacher and moments, half the rate", dict(continues="run"), **{"optimizer.lr": 5e-4}
    ),
)
