"""SimCLR continued with the recipe that made its start: the baseline of the SimCLR arms.

Command:  python tools/train.py configs/photos/simclr_fixed.py --cfg-options continue_run=runs/simclr_start/seed0
Expected: not yet measured
"""

from mmengine.config import read_base

with read_base():
    from .simclr_start import *

optimizer.update(lr=5e-4)
budget = dict(steps=200)
