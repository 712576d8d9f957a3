"""Which settings does every arm of the verdict get? Three trials an arm, the default recipe's included, one seed.

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
budget = dict(baseline_steps=370, clock="processor")  # the verdict's
baseline, candidate = "fixed_b", "policy_a"


def _trial(config: str, **options) -> dict:
    labels = {} if config == "fixed" else _labels(_validation)
    return dict(config=f"configs/scenes/simclr_{config}.py", cfg_options={**_stream(_validation), **labels, **options})


_narrow, _wide = (
    ("area", "saturation", "hue", "grayscale"),
    ("area", "brightness", "contrast", "saturation", "hue", "grayscale"),
)
_no_colour = _recipe(s=0.0, h=0.0, gray=0.0)
arms = {
    **{f"fixed_{n}": _trial("fixed", **{"optimizer.lr": lr}) for n, lr in (("a", 5e-4), ("b", 1e-3), ("c", 2e-3))},
    **{
        f"oracle_{n}": _trial("fixed", **{"optimizer.lr": lr}, **_no_colour)
        for n, lr in (("a", 5e-4), ("b", 1e-3), ("c", 2e-3))
    },
}
for _config, _key, _settings in (
    ("policy", "designer_optimizer.lr", ((0.1, _narrow), (0.2, _narrow), (0.1, _wide))),
    ("instance", "designer_optimizer.lr", ((0.005, _narrow), (0.01, _narrow), (0.005, _wide))),
    ("search", "designer.learning_rate", ((0.5, _narrow), (1.0, _narrow), (0.5, _wide))),
):
    for _name, (_lr, _learn) in zip("abc", _settings, strict=True):
        arms[f"{_config}_{_name}"] = _trial(_config, **{_key: _lr, "designer.learn": _learn})
for _name, _lr in (("a", 1e-3), ("b", 3e-3), ("c", 3e-4)):
    arms[f"unet_{_name}"] = _trial("unet", **{"designer_optimizer.lr": _lr})
