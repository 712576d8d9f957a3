"""simclr_fixed.py with an augmentation policy that looks at each image, steered by segmentation and depth feedback.

Command:  python tools/train.py configs/scenes/simclr_instance.py --cfg-options backbone.checkpoint=START
          (START: backbone.safetensors of configs/scenes/simclr_start.py)
Expected: docs/benchmark.md
"""

from mmengine.config import read_base

with read_base():
    from .._base_.scenes_feedback import *
    from .simclr_fixed import *

from vssl.designers import InstancePolicy

designer = dict(
    type=InstancePolicy,
    centres=False,
    gates="straight_through",
    learn=("area", "brightness", "contrast", "saturation", "hue", "grayscale"),
)
designer_optimizer.update(lr=0.005)
