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
start = dict(config="mae_start.py", label="start (MAE)")
continues = "run"
cfg_options, feedback_options = _test, _test_feedback
probes = "configs/probes/benchmark.py"
baseline, candidate, headroom = "fixed", "choice", "oracle"
seeds = [0, 1, 2]
budget = dict(baseline_steps=940, clock="processor")
arms = dict(
    fixed=dict(config="mae_start.py", label="default recipe"),
    oracle=dict(like="fixed", cfg_options={"objective.mask_ratio": 0.9}, label="best fixed construction"),
    choice=dict(config="mae_choice.py", label="V-Pretraining, choice by 40 steps"),
    one_step=dict(like="choice", cfg_options={"value.horizon": 0}, label="V-Pretraining, choice by one step"),
    negated=dict(
        like="choice", cfg_options={"feedback.control": "negated"}, label="choice by 40 steps, negated feedback"
    ),
    random=dict(like="choice", cfg_options={"feedback.control": "random"}, label="choice by 40 steps, random feedback"),
)
