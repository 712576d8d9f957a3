"""NeCo with the fixed recipe on scenes: 2 global crops of 32 px and 4 local ones of 16 px.

Command:  python tools/train.py configs/scenes/neco_fixed.py --cfg-options backbone.checkpoint=START
          (START: backbone.safetensors of configs/scenes/mae_start.py; without it, from scratch)
Expected: docs/benchmark.md, "Every objective"
"""

from mmengine.config import read_base

with read_base():
    from .._base_.runtime import *
    from .._base_.scenes_data import *
    from .._base_.scenes_learner import *

from vssl.designers import Identity
from vssl.objectives import NeCo
from vssl.views import MultiCrop

objective = dict(
    type=NeCo,
    n_local_crops=4,
    cells=4,
    hidden_dim=256,
    out_dim=64,
    teacher_momentum_start=0.99,
)
# The authors' crops and colours; flips do no harm here, boxes say who is mirrored.
recipe = dict(
    type=MultiCrop,
    global_size=32,
    local_size=16,
    n_global=2,
    n_local=4,
    global_scale=(0.25, 1.0),
    local_scale=(0.05, 0.25),
    jitter=dict(brightness=0.8, contrast=0.8, saturation=0.8, hue=0.2, p=0.8),
    grayscale=0.2,
    blur=dict(sigma=(0.1, 1.0), p=0.5),
)
designer = dict(type=Identity)
schedule.update(head_share=0.2)  # the start comes without its head
budget = dict(steps=150)
