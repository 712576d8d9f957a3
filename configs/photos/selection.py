"""Which settings do the MAE arms get? Three trials an arm, the fixed recipe's included, one seed, on a part of train.

Command:  python tools/compare.py configs/photos/selection.py --jobs 2
Expected: not yet measured
"""

from mmengine.config import read_base

with read_base():
    from .._base_.photos_comparison import *

title = "Settings of the MAE arms, on a part of NYUv2's training images"
work_dir = "runs/photos_selection"
start = _start("mae")
probes = "configs/probes/photos_selection.py"
seeds = [10]
budget = dict(baseline_steps=300, clock="processor")  # the verdict's
baseline, candidate = "fixed_b", "policy_b"
_rates = (("a", 2e-4), ("b", 5e-4), ("c", 1.5e-3))
arms = {
    **{f"fixed_{n}": _fixed("mae", **{"optimizer.lr": lr}) for n, lr in _rates},
    **{
        f"policy_{n}": _designed("mae_policy", **_for_selection, **{"designer_optimizer.lr": lr})
        for n, lr in (("a", 0.03), ("b", 0.1), ("c", 0.3))
    },
    **{
        f"unet_{n}": _designed("mae_unet", **_for_selection, **{"designer_optimizer.lr": lr})
        for n, lr in (("a", 3e-4), ("b", 1e-3), ("c", 3e-3))
    },
}
