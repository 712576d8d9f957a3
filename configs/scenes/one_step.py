"""Does the predicted drop of a step happen? One-step probes of every arm, on the validation scenes.

Command:  python tools/prepare_data.py scenes
          python tools/compare.py configs/scenes/one_step.py --jobs 2
Expected: docs/benchmark.md, "Does the predicted drop happen?"
"""

from mmengine.config import read_base

with read_base():
    from .._base_.benchmark import *

title = "One-step probes of every arm, on the validation scenes"
work_dir = "runs/one_step"
start = _start(_validation)
probes = "configs/probes/scenes.py"
seeds = [30, 31]
budget = dict(steps=200)
baseline, candidate = "fixed", "vpretraining"
one_step_probe = dict(interval=40, probe=64)


def _fixed(label: str, **options) -> dict:
    return dict(config="configs/scenes/simclr_fixed.py", cfg_options={**_stream(_validation), **options}, label=label)


def _arm(name: str, label: str) -> dict:
    options = {**_stream(_validation), **_labels(_validation)}
    return dict(config=f"configs/scenes/simclr_{name}.py", cfg_options=options, label=label)


arms = dict(
    fixed=_fixed("default recipe", **{"optimizer.lr": 5e-4}),
    oracle=_fixed("best fixed recipe", **_recipe(s=0.0, h=0.0, gray=0.0)),
    vpretraining=_arm("policy", "V-Pretraining, one policy"),
    instance=_arm("instance", "V-Pretraining, policy per image"),
    unet=_arm("unet", "V-Pretraining, U-Net mask"),
    masked=_arm("masked", "V-Pretraining, policy and mask"),
    search=_arm("search", "candidate search"),
)
