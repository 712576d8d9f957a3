"""simclr_fixed.py with one augmentation policy for the whole stream, steered by NYUv2's labels.

Command:  python tools/train.py configs/photos/simclr_policy.py --cfg-options continue_run=runs/simclr_start/seed0
Expected: not yet measured
"""

from mmengine.config import read_base

with read_base():
    from .._base_.photos_feedback import *
    from .simclr_fixed import *

from vssl.designers import GlobalPolicy

designer = dict(
    type=GlobalPolicy,
    centres=False,
    gates="straight_through",
    learn=("area", "brightness", "contrast", "saturation", "hue", "grayscale"),
)
designer_optimizer.update(lr=0.1)
