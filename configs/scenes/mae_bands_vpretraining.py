"""MAE that predicts bands, with a U-Net mask on the image, designed by segmentation and depth feedback.

Command:  python tools/train.py configs/scenes/mae_bands_vpretraining.py --cfg-options backbone.checkpoint=START
          (START: backbone.safetensors of configs/scenes/mae_start.py)
Expected: not yet measured
"""

from mmengine.config import read_base

with read_base():
    from .._base_.scenes_feedback import *
    from .mae_bands_fixed import *

from vssl.designers import UNetMask

designer = dict(type=UNetMask, width=8, stem=4, keep_ratio=0.6, sparsity=0.131, smoothness=0.144)
# A meta step that costs less than a learner step: docs/value.md, "What a run costs".
backbone.update(aligned_blocks=1)
value.update(batch_size=16, g_down_every=15)
