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
start = dict(config="configs/scenes/mae_start.py", cfg_options=_stream(_test), label="start (MAE)")
probes = "configs/probes/benchmark.py"
baseline, candidate, headroom = "normalised", "choice", None
seeds = [0, 1, 2]
budget = dict(baseline_steps=500, clock="processor")


def _fixed(label: str, target: dict) -> dict:
    """The decoder is new: it learns alone for the first fifth, as in the arms that choose."""
    options = {**_stream(_test), "objective.target": target, "schedule.head_share": 0.2, "schedule.warmup_share": 0.0}
    return dict(config="configs/scenes/mae_start.py", cfg_options=options, label=label)


def _choice(label: str, **options) -> dict:
    options = {**_stream(_test), **_labels(_test), "value.burn_in": 100, **options}
    return dict(config="configs/scenes/mae_horizon.py", cfg_options=options, label=label)


_no_high = dict(luma2=0.0, chroma2=0.0)
arms = dict(
    normalised=_fixed("normalised pixels", dict(type=Pixels)),
    raw_pixels=_fixed("raw pixels", dict(type=Pixels, normalize=False)),
    low_bands=_fixed("low bands", dict(type=Bands, weights=_no_high)),
    choice=_choice("V-Pretraining, choice by 20 steps"),
    one_step=_choice("V-Pretraining, choice by one step", **{"value.horizon": 0}),
    negated=_choice("choice by 20 steps, negated feedback", **{"feedback.control": "negated"}),
)
