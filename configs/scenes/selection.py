"""Which settings does every arm of the verdict get? Four trials an arm, the default recipe's included, one seed.

Command:  python tools/prepare_data.py scenes
          python tools/compare.py configs/scenes/selection.py --jobs 2
Expected: docs/benchmark.md, "Settings". Chosen is the trial with the largest mean relative gain over the start, of mIoU
and of depth RMSE; verdict.py has the choice.
"""

from mmengine.config import read_base

with read_base():
    from .._base_.benchmark import *

title = "Settings of the arms, on the validation scenes"
work_dir = "runs/selection"
start = _start(_validation)
probes = "configs/probes/scenes.py"
seeds = [10]
budget = dict(seconds=60, clock="processor")
baseline, candidate = "fixed_lr1e-3", "policy_a"


def _trial(config: str, **options) -> dict:
    labels = {} if config == "fixed" else _labels(_validation)
    return dict(config=f"configs/scenes/simclr_{config}.py", cfg_options={**_stream(_validation), **labels, **options})


_rates = (5e-4, 1e-3, 2e-3, 4e-3)
_spread = [("a", 1e-3, 1.0), ("b", 1e-3, 2.0), ("c", 2e-3, 1.0), ("d", 2e-3, 2.0)]
arms = {}
for _rate in _rates:
    _name = f"lr{_rate:.0e}".replace("e-0", "e-")
    arms[f"fixed_{_name}"] = _trial("fixed", **{"optimizer.lr": _rate})
    arms[f"oracle_{_name}"] = _trial("fixed", **{"optimizer.lr": _rate}, **_recipe(s=0.0, h=0.0, gray=0.0))
for _config, _step, _key in (
    ("policy", 0.1, "designer_optimizer.lr"),
    ("instance", 0.005, "designer_optimizer.lr"),
    ("unet", 1e-3, "designer_optimizer.lr"),
    ("search", 0.5, "designer.learning_rate"),
):
    for _name, _rate, _factor in _spread:
        arms[f"{_config}_{_name}"] = _trial(_config, **{"optimizer.lr": _rate, _key: _step * _factor})
