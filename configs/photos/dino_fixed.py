"""DINO on photographs with its recipe, 2 crops of 64 px and 4 of 32 px: the baseline of the DINO arms.

Command:  python tools/train.py configs/photos/dino_fixed.py --cfg-options backbone.checkpoint=START
          (START: backbone.safetensors of configs/photos/mae_start.py; DINO from scratch learns little in so few steps)
Expected: not yet measured
"""

from mmengine.config import read_base

with read_base():
    from .._base_.photos_data import *
    from .._base_.photos_learner import *
    from .._base_.runtime import *

from vssl.designers import Identity
from vssl.objectives import DINO
from vssl.views import MultiCrop

objective = dict(
    type=DINO,
    n_local_crops=4,
    out_dim=1024,
    hidden_dim=256,
    bottleneck_dim=64,
    teacher_momentum_start=0.99,
)
recipe = dict(
    type=MultiCrop,
    global_size=64,
    local_size=32,
    n_global=2,
    n_local=4,
    global_scale=(0.32, 1.0),
    local_scale=(0.05, 0.32),
    jitter=dict(brightness=0.4, contrast=0.4, saturation=0.2, hue=0.1, p=0.8),
    grayscale=0.2,
    blur=dict(sigma=(0.1, 0.6), p=(1.0, 0.1, 0.5)),
    solarize=dict(threshold=0.5, p=(0.0, 0.2, 0.0)),
)
designer = dict(type=Identity)
optimizer.update(lr=5e-4)
schedule.update(head_share=0.2)
budget = dict(steps=150)
