"""What of V-Pretraining's settings matters? One change at a time to the verdict's policy, on the validation scenes.

Command:  python tools/prepare_data.py scenes
          python tools/compare.py configs/scenes/ablations.py --jobs 2
Expected: docs/benchmark.md, "Ablations"
"""

from mmengine.config import read_base

with read_base():
    from .._base_.benchmark import *

from vssl.value import Adam, Bound, Dot

title = "Ablations of the policy, on the validation scenes"
work_dir = "runs/ablations"
probes = "configs/probes/scenes.py"
seeds = [20, 21]
budget = dict(baseline_steps=322, clock="processor")  # the reference's steps in 60 s when they were published
baseline, candidate = "reference", "fixed"
_bound = dict(type=Bound, learning_rate=1e-3, smoothness=30.0)
_cheap = {"backbone.aligned_blocks": 1, "value.batch_size": 16, "value.g_down_every": 15}
_each_g_down = {
    "value.g_down_every": 1,
    "feedback.head_steps": 1,
    "feedback.pools.segmentation.meta_batch_size": 48,
    "feedback.pools.depth.meta_batch_size": 48,
}
_small_pool = {
    "feedback.head_steps": 1,
    "feedback.pools.segmentation.train": 64,
    "feedback.pools.segmentation.meta": 32,
    "feedback.pools.segmentation.meta_batch_size": 32,
    "feedback.pools.depth.train": 64,
    "feedback.pools.depth.meta": 32,
    "feedback.pools.depth.meta_batch_size": 32,
}
_colour = {"designer.learn": ("saturation", "hue", "grayscale")}
arms = dict(
    reference=dict(config="simclr_policy.py", label="as in the verdict"),
    fixed=dict(config="simclr_fixed.py", cfg_options={"optimizer.lr": 5e-4}, label="default recipe"),
    dot=dict(like="reference", cfg_options={"value.rule": dict(type=Dot)}, label="rule: dot product"),
    bound=dict(like="reference", cfg_options={"value.rule": _bound}, label="rule: bound (L = 30)"),
    adam=dict(like="reference", cfg_options={"value.rule": dict(type=Adam)}, label="rule: Adam-preconditioned"),
    last_blocks=dict(like="reference", cfg_options={"backbone.aligned_blocks": 2}, label="K = 2 of 4 blocks"),
    small_batch=dict(like="reference", cfg_options={"value.batch_size": 16}, label="meta batch 16"),
    cheap=dict(like="reference", cfg_options=_cheap, label="K = 1 of 4, meta batch 16, g_down for 15 meta steps"),
    seldom=dict(
        like="reference", cfg_options={"value.period": 4, "value.freeze_after": None}, label="r = 4, to the end"
    ),
    each_g_down=dict(like="reference", cfg_options=_each_g_down, label="g_down at every meta step, 48 images"),
    small_pool=dict(like="reference", cfg_options=_small_pool, label="64 + 32 labeled images"),
    segmentation=dict(like="reference", cfg_options={"value.combine.weights.depth": 0.0}, label="segmentation alone"),
    depth=dict(like="reference", cfg_options={"value.combine.weights.segmentation": 0.0}, label="depth alone"),
    score=dict(like="reference", cfg_options={"designer.gates": "score"}, label="gates: score function"),
    fast=dict(like="reference", cfg_options={"designer_optimizer.lr": 0.2}, label="designer's rate 0.2"),
    colour=dict(like="reference", cfg_options=_colour, label="the crop's area not learned"),
    colour_fast=dict(
        like="colour", cfg_options={"designer_optimizer.lr": 0.2}, label="the crop's area not learned, rate 0.2"
    ),
)
