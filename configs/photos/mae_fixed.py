"""MAE continued with the recipe that made the start: the baseline of the MAE arms.

Command:  python tools/train.py configs/photos/mae_fixed.py --cfg-options continue_run=runs/mae_start/seed0
Expected: docs/photos.md
"""

from mmengine.config import read_base

with read_base():
    from .mae_start import *

# No change of colour, as in the start; but the recipe has the ops, at probability 0, so that a designer can open them.
recipe.update(
    jitter=dict(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, p=0.0), blur=dict(sigma=(0.1, 0.6), p=0.0)
)
optimizer.update(lr=5e-4)
budget = dict(steps=300)
