"""MAE that predicts normalised pixels and HOG, with the weight of each learned by its credit.

The start comes without its decoder, so the decoder learns both targets on frozen features first. Then each meta step
asks what one more bit of either loss is worth to segmentation and depth (docs/value.md#credit).

Command:  python tools/train.py configs/scenes/mae_weights.py --cfg-options backbone.checkpoint=START
          (START: backbone.safetensors of configs/scenes/mae_start.py)
Expected: not yet measured
"""

from mmengine.config import read_base

with read_base():
    from .._base_.scenes_feedback import *
    from .mae_start import *

from vssl.designers import LossWeights
from vssl.objectives.hog import HOG
from vssl.objectives.targets import Pixels

objective.update(target=[dict(type=Pixels), dict(type=HOG)])
designer = dict(type=LossWeights, components=dict(pixels=1.0, hog=1.0), entropy=0.01)
designer_optimizer.update(lr=0.1)
schedule.update(head_share=0.2)
budget = dict(steps=400)
# A meta step that costs less than a learner step: docs/value.md, "What a run costs".
backbone.update(aligned_blocks=1)
value.update(batch_size=16, g_down_every=15, burn_in=80, freeze_after=110)
