"""Is MAE continued on photographs with a designer better than with its fixed recipe at equal cost?

Command:  python tools/compare.py configs/photos/verdict_mae.py --jobs 2
Expected: docs/photos.md
"""

from mmengine.config import read_base

with read_base():
    from .._base_.photos_comparison import *

title = "MAE continued on photographs"
work_dir = "runs/photos_verdict_mae"
start = dict(config="mae_start.py", label="start (mae)")
continues = "run"
probes = "configs/probes/photos.py"
budget = dict(baseline_steps=300, clock="processor")
baseline, candidate = "fixed", "vpretraining"
arms = dict(
    fixed=dict(config="mae_fixed.py", label="fixed recipe"),
    vpretraining=dict(config="mae_policy.py", label="V-Pretraining, one policy"),
    **_controls,
    unet=dict(config="mae_unet.py", label="V-Pretraining, U-Net mask"),
)
