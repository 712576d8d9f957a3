"""Is SimCLR continued on photographs with a designer better than with its fixed recipe at equal cost?

Command:  python tools/compare.py configs/photos/verdict_simclr.py --jobs 2
Expected: not yet measured
"""

from mmengine.config import read_base

with read_base():
    from .._base_.photos_comparison import *

title = "SimCLR continued on photographs"
work_dir = "runs/photos_verdict_simclr"
start = dict(config="simclr_start.py", label="start (simclr)")
continues = "run"
probes = "configs/probes/photos.py"
budget = dict(baseline_steps=200, clock="processor")
baseline, candidate = "fixed", "vpretraining"
arms = dict(
    fixed=dict(config="simclr_fixed.py", label="fixed recipe"),
    vpretraining=dict(config="simclr_policy.py", label="V-Pretraining, one policy"),
    **_controls,
)
