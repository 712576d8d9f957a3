"""DINO on scenes with a U-Net mask on the global crops, designed by segmentation and depth feedback.

Command:  python tools/train.py configs/scenes/dino_vpretraining.py --cfg-options backbone.checkpoint=START
          (START: backbone.safetensors of configs/scenes/mae_start.py)
Expected: docs/benchmark.md, "Every objective"
"""

from mmengine.config import read_base

with read_base():
    from .._base_.scenes_feedback import *
    from .dino_fixed import *

from vssl.designers import UNetMask

# The designed crops make the teacher's targets too: without that path φ's gradient is not the value's.
objective.update(flow_through_teacher=True)
designer = dict(type=UNetMask, width=8, stem=4, keep_ratio=0.6, sparsity=0.131, smoothness=0.144)
# A meta step that costs less than a learner step: docs/value.md, "What a run costs".
backbone.update(aligned_blocks=1)
value.update(batch_size=16, g_down_every=15)
