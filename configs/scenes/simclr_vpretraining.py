"""V-Pretraining on scenes: as simclr_fixed.py, with a U-Net mask designed by segmentation and depth feedback.

Command:  python tools/train.py configs/scenes/simclr_vpretraining.py --cfg-options backbone.checkpoint=START
          (START: backbone.safetensors of configs/scenes/mae_start.py)
Expected: from the start of `make demo`, 40 s on two cores: README.md, "What the demo shows"
"""

from mmengine.config import read_base

with read_base():
    from .._base_.scenes_feedback import *
    from .simclr_fixed import *

from vssl.designers import UNetMask

designer = dict(type=UNetMask, width=8, stem=4, keep_ratio=0.6, sparsity=0.131, smoothness=0.144)
