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
probes = "configs/probes/scenes.py"
seeds = [30, 31]
budget = dict(steps=200)
baseline, candidate = "fixed", "vpretraining"
one_step_probe = dict(interval=40, heldout=64)
_names = ("fixed", "oracle", "vpretraining", "instance", "unet", "masked", "search")
arms = {name: _verdict_arms[name] for name in _names}
