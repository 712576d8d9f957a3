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
start = dict(config="configs/scenes/mae_start.py", cfg_options=_stream(_validation), label="start (MAE)")
probes = "configs/probes/scenes.py"
baseline, candidate = "fresh", "whole_run"
seeds = [0, 1, 2]
correction = None
budget = dict(steps=470)


def _arm(label: str, more: dict | None = None, **options) -> dict:
    options = {**_stream(_validation), **options}
    return dict(config="configs/scenes/mae_start.py", cfg_options=options, label=label, **(more or {}))


_first, _tenth = {"schedule.head_share": 0.2}, {"optimizer.lr": 1.5e-4}
arms = dict(
    fresh=_arm("fresh decoder"),
    head_20=_arm("fresh decoder, alone for 94 of 470 steps", **_first),
    head_60=_arm(
        "fresh decoder, alone for 705 of 1175 steps", dict(budget=dict(steps=1175)), **{"schedule.head_share": 0.6}
    ),
    head_20_tenth=_arm("fresh decoder, alone for 94 steps, a tenth of the rate", **_first, **_tenth),
    head_20_layers=_arm("fresh decoder, alone for 94 steps, layer_decay 0.65", **_first, layer_decay=0.65),
    whole_run=_arm("the start's decoder and moments", dict(continues="run")),
    whole_run_tenth=_arm("the start's decoder and moments, a tenth of the rate", dict(continues="run"), **_tenth),
)
