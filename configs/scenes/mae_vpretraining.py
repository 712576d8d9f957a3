"""MAE on scenes with a U-Net mask on the input image, designed by segmentation and depth feedback.

Command:  python tools/train.py configs/scenes/mae_start.py --work-dir runs/mae_start
          python tools/train.py configs/scenes/mae_vpretraining.py --cfg-options continue_run=runs/mae_start
          (whose recipe, objective and decoder this continues)
Expected: docs/benchmark.md, "Every objective"
"""

from mmengine.config import read_base

with read_base():
    from .._base_.scenes_feedback import *
    from .mae_start import *

from vssl.designers import UNetMask

designer = dict(type=UNetMask, width=8, stem=4, keep_ratio=0.6, sparsity=0.131, smoothness=0.144)
# A meta step that costs less than a learner step: docs/value.md, "What a run costs".
backbone.update(aligned_blocks=1)
value.update(batch_size=16, g_down_every=15)
