"""mae_fixed.py with the paper's designer, a U-Net blur mask on the input image, steered by NYUv2's labels.

Command:  python tools/train.py configs/photos/mae_unet.py --cfg-options continue_run=runs/mae_start/seed0
Expected: docs/photos.md
"""

from mmengine.config import read_base

with read_base():
    from .._base_.photos_feedback import *
    from .mae_fixed import *

from vssl.designers import UNetMask

designer = dict(type=UNetMask, width=8, stem=4, keep_ratio=0.6, sparsity=0.131, smoothness=0.144)
# A meta step that costs less than a learner step: docs/value.md, "What a run costs".
backbone.update(aligned_blocks=1)
value.update(batch_size=16, g_down_every=15)
