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
probes = "configs/probes/scenes.py"
seeds = [10]
budget = dict(baseline_steps=370, clock="processor")  # the verdict's
baseline, candidate = "fixed_b", "policy_a"

_narrow = ("area", "saturation", "hue", "grayscale")
_wide = ("area", "brightness", "contrast", "saturation", "hue", "grayscale")
arms = dict(
    fixed_a=dict(config="simclr_fixed.py", cfg_options={"optimizer.lr": 5e-4}),
    fixed_b=dict(config="simclr_fixed.py", cfg_options={"optimizer.lr": 1e-3}),
    fixed_c=dict(config="simclr_fixed.py", cfg_options={"optimizer.lr": 2e-3}),
    oracle_a=dict(like="fixed_a", cfg_options=_no_colour),
    oracle_b=dict(like="fixed_b", cfg_options=_no_colour),
    oracle_c=dict(like="fixed_c", cfg_options=_no_colour),
    policy_a=dict(config="simclr_policy.py", cfg_options={"designer_optimizer.lr": 0.1, "designer.learn": _narrow}),
    policy_b=dict(like="policy_a", cfg_options={"designer_optimizer.lr": 0.2}),
    policy_c=dict(like="policy_a", cfg_options={"designer.learn": _wide}),
    instance_a=dict(
        config="simclr_instance.py", cfg_options={"designer_optimizer.lr": 0.005, "designer.learn": _narrow}
    ),
    instance_b=dict(like="instance_a", cfg_options={"designer_optimizer.lr": 0.01}),
    instance_c=dict(like="instance_a", cfg_options={"designer.learn": _wide}),
    search_a=dict(config="simclr_search.py", cfg_options={"designer.learning_rate": 0.5, "designer.learn": _narrow}),
    search_b=dict(like="search_a", cfg_options={"designer.learning_rate": 1.0}),
    search_c=dict(like="search_a", cfg_options={"designer.learn": _wide}),
    unet_a=dict(config="simclr_unet.py", cfg_options={"designer_optimizer.lr": 1e-3}),
    unet_b=dict(like="unet_a", cfg_options={"designer_optimizer.lr": 3e-3}),
    unet_c=dict(like="unet_a", cfg_options={"designer_optimizer.lr": 3e-4}),
)
