"""MAE continued from its own start: the recipe, the best fixed construction, and V-Pretraining that chooses one.

All arms go on with the start's decoder and moments (docs/continuing.md). The best fixed construction and H were chosen
on the validation scenes (configs/scenes/landscape_mae.py, `tools/benchmark.py horizon`).

Command:  python tools/prepare_data.py scenes --seed 2 --out data/benchmark
          python tools/compare.py configs/scenes/verdict_mae.py --jobs 2
Expected: docs/benchmark.md, "MAE from its own start"
"""

from mmengine.config import read_base

with read_base():
    from .._base_.benchmark import *

title = "MAE from its own start"
work_dir = "runs/verdict_mae"
start = dict(config="configs/scenes/mae_start.py", cfg_options=_stream(_test), label="start (MAE)")
probes = "configs/probes/benchmark.py"
baseline, candidate, headroom = "fixed", "choice", "oracle"
seeds = [0, 1, 2]
budget = dict(baseline_steps=940, clock="processor")


def _fixed(label: str, **options) -> dict:
    options = {**_stream(_test), **options}
    return dict(config="configs/scenes/mae_start.py", cfg_options=options, label=label, continues="run")


def _choice(label: str, **options) -> dict:
    options = {**_stream(_test), **_labels(_test), **options}
    return dict(config="configs/scenes/mae_choice.py", cfg_options=options, label=label, continues="run")


arms = dict(
    fixed=_fixed("default recipe"),
    oracle=_fixed("best fixed construction", **{"objective.mask_ratio": 0.9}),
    choice=_choice("V-Pretraining, choice by 40 steps"),
    one_step=_choice("V-Pretraining, choice by one step", **{"value.horizon": 0}),
    negated=_choice("choice by 40 steps, negated feedback", **{"feedback.control": "negated"}),
    random=_choice("choice by 40 steps, random feedback", **{"feedback.control": "random"}),
)
