"""dino_fixed.py with one augmentation policy for the whole stream, steered by NYUv2's labels.

Command:  python tools/train.py configs/photos/dino_policy.py --cfg-options backbone.checkpoint=START
          (START: backbone.safetensors of configs/photos/mae_start.py)
Expected: not yet measured
"""

from mmengine.config import read_base

with read_base():
    from .._base_.photos_feedback import *
    from .dino_fixed import *

from vssl.designers import GlobalPolicy

# The designed crops make the teacher's targets too: without that path φ's gradient is not the value's.
objective.update(flow_through_teacher=True)
designer = dict(
    type=GlobalPolicy,
    centres=False,
    gates="straight_through",
    learn=("area", "brightness", "contrast", "saturation", "hue", "grayscale"),
)
designer_optimizer.update(lr=0.1)
