"""DINO with the fixed recipe on scenes: 2 global crops of 32 px and 4 local ones of 16 px.

Command:  python tools/train.py configs/scenes/dino_fixed.py --cfg-options backbone.checkpoint=START
          (START: backbone.safetensors of configs/scenes/mae_start.py; DINO from scratch learns little in so few steps)
Expected: docs/benchmark.md, "Every objective"
"""

from mmengine.config import read_base

with read_base():
    from .._base_.runtime import *
    from .._base_.scenes_data import *
    from .._base_.scenes_learner import *

from vssl.designers import Identity
from vssl.objectives import DINO
from vssl.views import MultiCrop

objective = dict(
    type=DINO,
    n_local_crops=4,
    out_dim=1024,
    hidden_dim=256,
    bottleneck_dim=64,
    teacher_momentum_start=0.99,  # of a backbone that is good already, 0.999 does no harm: docs/continuing.md
)
recipe = dict(
    type=MultiCrop,
    global_size=32,
    local_size=16,
    n_global=2,
    n_local=4,
    global_scale=(0.32, 1.0),
    local_scale=(0.05, 0.32),
    jitter=dict(brightness=0.4, contrast=0.4, saturation=0.2, hue=0.1, p=0.8),
    grayscale=0.2,
    blur=dict(sigma=(0.1, 1.0), p=(1.0, 0.1, 0.5)),
    solarize=dict(threshold=0.5, p=(0.0, 0.2, 0.0)),
)
designer = dict(type=Identity)
budget = dict(steps=250)
