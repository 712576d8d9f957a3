"""Which settings do the MAE arms get? Three trials an arm, the fixed recipe's included, one seed, on a part of train.

Command:  python tools/compare.py configs/photos/selection.py --jobs 2
Expected: not yet measured
"""

from mmengine.config import read_base

with read_base():
    from .._base_.photos_comparison import *

title = "Settings of the MAE arms, on a part of NYUv2's training images"
work_dir = "runs/photos_selection"
start = dict(config="mae_start.py", label="start (mae)")
continues = "run"
feedback_options = {
    **feedback_options,
    "feedback.pools.segmentation.dataset.limit": 636,
    "feedback.pools.segmentation.train": 448,
    "feedback.pools.segmentation.meta": 160,
    "feedback.pools.segmentation.meta_batch_size": 160,
    "feedback.pools.depth.dataset.limit": 636,
    "feedback.pools.depth.train": 448,
    "feedback.pools.depth.meta": 160,
    "feedback.pools.depth.meta_batch_size": 160,
}
probes = "configs/probes/photos_selection.py"
seeds = [10]
budget = dict(baseline_steps=300, clock="processor")  # the verdict's
baseline, candidate = "fixed_b", "policy_b"
arms = dict(
    fixed_a=dict(config="mae_fixed.py", cfg_options={"optimizer.lr": 2e-4}),
    fixed_b=dict(config="mae_fixed.py", cfg_options={"optimizer.lr": 5e-4}),
    fixed_c=dict(config="mae_fixed.py", cfg_options={"optimizer.lr": 1.5e-3}),
    policy_a=dict(config="mae_policy.py", cfg_options={"designer_optimizer.lr": 0.03}),
    policy_b=dict(config="mae_policy.py", cfg_options={"designer_optimizer.lr": 0.1}),
    policy_c=dict(config="mae_policy.py", cfg_options={"designer_optimizer.lr": 0.3}),
    unet_a=dict(config="mae_unet.py", cfg_options={"designer_optimizer.lr": 3e-4}),
    unet_b=dict(config="mae_unet.py", cfg_options={"designer_optimizer.lr": 1e-3}),
    unet_c=dict(config="mae_unet.py", cfg_options={"designer_optimizer.lr": 3e-3}),
)
