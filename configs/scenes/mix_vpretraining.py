"""MAE and DINO on one backbone, in a mixture that follows the credit of each loss.

Command:  python tools/train.py configs/scenes/mix_vpretraining.py --cfg-options backbone.checkpoint=START
          (START: backbone.safetensors of configs/scenes/mae_start.py)
Expected: docs/benchmark.md, "Every objective"
"""

from mmengine.config import read_base

with read_base():
    from .._base_.scenes_feedback import *
    from .mix_fixed import *

from vssl.designers import LossWeights

designer = dict(type=LossWeights, components={"mae/pixels": 1.0, "dino/cls": 0.1}, bound=10.0)
designer_optimizer.update(lr=0.1)
# A meta step that costs less than a learner step: docs/value.md, "What a run costs".
backbone.update(aligned_blocks=1)
value.update(batch_size=16, g_down_every=15, burn_in=50, freeze_after=80)  # from when the backbone moves
