"""Is DINO, from the MAE start on photographs, better with a designer than with its fixed recipe at equal cost?

Command:  python tools/compare.py configs/photos/verdict_dino.py --jobs 2
Expected: not yet measured
"""

from mmengine.config import read_base

with read_base():
    from .._base_.photos_comparison import *

title = "DINO on photographs, from the MAE start"
work_dir = "runs/photos_verdict_dino"
start = dict(config="mae_start.py", label="start (mae)")
probes = "configs/probes/photos.py"
budget = dict(baseline_steps=150, clock="processor")
baseline, candidate = "fixed", "vpretraining"
arms = dict(
    fixed=dict(config="dino_fixed.py", label="fixed recipe"),
    vpretraining=dict(config="dino_policy.py", label="V-Pretraining, one policy"),
    **_controls,
)
