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
start = _start(_validation)
probes = "configs/probes/scenes.py"
seeds = [20, 21]
budget = dict(baseline_steps=322, clock="processor")  # the reference's steps in 60 s when they were published
baseline, candidate = "reference", "fixed"


def _changed(label: str, **options) -> dict:
    options = {**_stream(_validation), **_labels(_validation), **options}
    return dict(config="configs/scenes/simclr_policy.py", cfg_options=options, label=label)


def _pools(**numbers) -> dict:
    return {f"feedback.pools.{task}.{key}": n for task in ("segmentation", "depth") for key, n in numbers.items()}


arms = dict(
    reference=_changed("as in the verdict"),
    fixed=dict(
        config="configs/scenes/simclr_fixed.py",
        cfg_options={**_stream(_validation), "optimizer.lr": 5e-4},
        label="default recipe",
    ),
    dot=_changed("rule: dot product", **{"value.rule": dict(type=Dot)}),
    bound=_changed("rule: bound (L = 30)", **{"value.rule": dict(type=Bound, learning_rate=1e-3, smoothness=30.0)}),
    adam=_changed("rule: Adam-preconditioned", **{"value.rule": dict(type=Adam)}),
    last_blocks=_changed("K = 2 of 4 blocks", **{"backbone.aligned_blocks": 2}),
    small_batch=_changed("meta batch 16", **{"value.batch_size": 16}),
    cheap=_changed(
        "K = 1 of 4, meta batch 16, g_down for 15 meta steps",
        **{"backbone.aligned_blocks": 1, "value.batch_size": 16, "value.g_down_every": 15},
    ),
    seldom=_changed("r = 4, to the end", **{"value.period": 4, "value.freeze_after": None}),
    each_g_down=_changed(
        "g_down at every meta step, 48 images",
        **{"value.g_down_every": 1, "feedback.head_steps": 1},
        **_pools(meta_batch_size=48),
    ),
    small_pool=_changed(
        "64 + 32 labeled images", **{"feedback.head_steps": 1}, **_pools(train=64, meta=32, meta_batch_size=32)
    ),
    segmentation=_changed("segmentation alone", **{"value.combine.weights.depth": 0.0}),
    depth=_changed("depth alone", **{"value.combine.weights.segmentation": 0.0}),
    score=_changed("gates: score function", **{"designer.gates": "score"}),
    fast=_changed("designer's rate 0.2", **{"designer_optimizer.lr": 0.2}),
    colour=_changed("the crop's area not learned", **{"designer.learn": ("saturation", "hue", "grayscale")}),
    colour_fast=_changed(
        "the crop's area not learned, rate 0.2",
        **{"designer.learn": ("saturation", "hue", "grayscale"), "designer_optimizer.lr": 0.2},
    ),
)
