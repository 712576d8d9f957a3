"""Does V-Pretraining find what MAE should predict? Fixed targets, and a choice among them by rollouts and by one step.

Command:  python tools/prepare_data.py scenes --seed 2 --out data/benchmark
          python tools/compare.py configs/scenes/targets.py --jobs 2
Expected: docs/benchmark.md, "What to predict"
"""

from mmengine.config import read_base

with read_base():
    from .._base_.benchmark import *

from vssl.objectives.bands import Bands
from vssl.objectives.targets import Pixels

title = "What MAE predicts"
work_dir = "runs/targets"
start = dict(config="mae_start.py", label="start (MAE)")
cfg_options, feedback_options = _test, _test_feedback
probes = "configs/probes/benchmark.py"
baseline, candidate, headroom = "normalised", "choice", None
seeds = [0, 1, 2]
budget = dict(baseline_steps=500, clock="processor")
_low = dict(luma2=0.0, chroma2=0.0)
# The decoder is new: it learns alone for the first fifth, as in the arms that choose.
_decoder_first = {"schedule.head_share": 0.2, "schedule.warmup_share": 0.0}
arms = dict(
    normalised=dict(
        config="mae_start.py",
        cfg_options={"objective.target": dict(type=Pixels), **_decoder_first},
        label="normalised pixels",
    ),
    raw_pixels=dict(
        like="normalised", cfg_options={"objective.target": dict(type=Pixels, normalize=False)}, label="raw pixels"
    ),
    low_bands=dict(
        like="normalised", cfg_options={"objective.target": dict(type=Bands, weights=_low)}, label="low bands"
    ),
    choice=dict(config="mae_horizon.py", cfg_options={"value.burn_in": 100}, label="V-Pretraining, choice by 20 steps"),
    one_step=dict(like="choice", cfg_options={"value.horizon": 0}, label="V-Pretraining, choice by one step"),
    negated=dict(
        like="choice", cfg_options={"feedback.control": "negated"}, label="choice by 20 steps, negated feedback"
    ),
)
