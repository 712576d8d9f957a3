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
start = _start(_validation)
probes = "configs/probes/scenes.py"
baseline, candidate = "fresh", "whole_run"
seeds = [0, 1, 2]
correction = None
budget = dict(steps=300)


def _arm(label: str, more: dict | None = None, **options) -> dict:
    options = {**_stream(_validation), "schedule.head_share": 0.0, **options}
    return dict(config="configs/scenes/simclr_fixed.py", cfg_options=options, label=label, **(more or {}))


arms = dict(
    fresh=_arm("fresh head"),
    head_20=_arm("fresh head, alone for 60 of 300 steps", **{"schedule.head_share": 0.2}),
    head_60=_arm(
        "fresh head, alone for 450 of 750 steps", dict(budget=dict(steps=750)), **{"schedule.head_share": 0.6}
    ),
    whole_run=_arm("the start's head and moments", dict(continues="run")),
    whole_run_half=_arm("the start's head and moments, half the rate", dict(continues="run"), **{"optimizer.lr": 5e-4}),
)
