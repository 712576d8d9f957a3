"""simclr_fixed.py with a U-Net blur mask (the paper's designer), steered by segmentation and depth feedback.

Command:  python tools/train.py configs/scenes/simclr_unet.py --cfg-options backbone.checkpoint=START
          (START: backbone.safetensors of configs/scenes/simclr_start.py)
Expected: docs/benchmark.md
"""

from mmengine.config import read_base

with read_base():
    from .._base_.scenes_feedback import *
    from .simclr_fixed import *

from vssl.designers import UNetMask

designer = dict(type=UNetMask, width=8, stem=4, keep_ratio=0.6, sparsity=0.131, smoothness=0.144)
designer_optimizer.update(lr=3e-4)
