"""Is V-Pretraining better than the default recipe at equal cost, and how much of the headroom does it get?

Command:  python tools/prepare_data.py scenes --seed 2 --out data/benchmark
          python tools/compare.py configs/scenes/verdict.py --jobs 2    (an hour on two cores)
Expected: docs/benchmark.md, "The verdict"
"""

from mmengine.config import read_base

with read_base():
    from .._base_.benchmark import *

title = "V-Pretraining on the embedded benchmark"
work_dir = "runs/verdict"
cfg_options, feedback_options = _test, _test_feedback
probes = "configs/probes/benchmark.py"
baseline, candidate, headroom = "fixed", "vpretraining", "oracle"
budget = dict(baseline_steps=370, clock="processor")  # the default recipe's steps in 60 s when it was published
arms = _verdict_arms
