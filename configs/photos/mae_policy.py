"""mae_fixed.py with one augmentation policy for the whole stream, steered by NYUv2's labels.

Command:  python tools/train.py configs/photos/mae_policy.py --cfg-options continue_run=runs/mae_start/seed0
Expected: docs/photos.md
"""

from mmengine.config import read_base

with read_base():
    from .._base_.photos_feedback import *
    from .mae_fixed import *

from vssl.designers import GlobalPolicy

designer = dict(
    type=GlobalPolicy, centres=False, gates="straight_through", learn=("area", "jitter", "grayscale", "blur")
)
designer_optimizer.update(lr=0.1)
