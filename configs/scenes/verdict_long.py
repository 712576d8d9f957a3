"""The verdict's main arms at twice its budget, no setting changed, on scenes that nothing was chosen on.

Command:  python tools/prepare_data.py scenes --seed 3 --out data/benchmark_long
          python tools/compare.py configs/scenes/verdict_long.py --jobs 2   (an hour, other jobs beside)
Expected: docs/benchmark.md, "At twice the budget"
"""

from mmengine.config import read_base

with read_base():
    from .._base_.benchmark import *

title = "V-Pretraining on the embedded benchmark, at twice the budget"
work_dir = "runs/verdict_long"
cfg_options = {**cfg_options, "unlabeled.root": "data/benchmark_long/imagenet/train"}
feedback_options = {
    "feedback.pools.segmentation.dataset.root": "data/benchmark_long/ade20k",
    "feedback.pools.depth.dataset.root": "data/benchmark_long/nyuv2",
}
probes = "configs/probes/benchmark_long.py"
baseline, candidate, headroom = "fixed", "vpretraining", "oracle"
budget = dict(baseline_steps=778, clock="processor")  # the default recipe's steps in 120 s when it was published
arms = {name: _verdict_arms[name] for name in ("fixed", "vpretraining", "oracle", "negated", "frozen")}
