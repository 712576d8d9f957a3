"""VICReg, one of lightly's two-view losses, with the fixed recipe on scenes. Needs the extra vssl[lightly].

Command:  python tools/train.py configs/scenes/vicreg_fixed.py --cfg-options backbone.checkpoint=START
          (START: backbone.safetensors of configs/scenes/mae_start.py; without it, from scratch)
Expected: docs/benchmark.md, "Every objective"
"""

from mmengine.config import read_base

with read_base():
    from .._base_.runtime import *
    from .._base_.scenes_data import *
    from .._base_.scenes_learner import *

from lightly.loss import VICRegLoss
from lightly.models.modules.heads import VICRegProjectionHead

from vssl.designers import Identity
from vssl.objectives import JointEmbedding
from vssl.views import MultiCrop

objective = dict(
    type=JointEmbedding,
    loss=dict(type=VICRegLoss, gather_distributed=True),
    projector=dict(type=VICRegProjectionHead, hidden_dim=256, output_dim=256),
)
# simclr_fixed.py's
recipe = dict(
    type=MultiCrop,
    global_size=32,
    n_global=2,
    global_scale=(0.2, 1.0),
    jitter=dict(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, p=0.8),
    grayscale=0.2,
    blur=dict(sigma=(0.1, 1.0), p=0.5),
)
designer = dict(type=Identity)
schedule.update(head_share=0.2)  # the start comes without its head
budget = dict(steps=200)
