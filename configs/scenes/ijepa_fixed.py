"""I-JEPA with the fixed recipe on scenes: crops without flips or colour changes, 8×8 patches.

Command:  python tools/train.py configs/scenes/ijepa_fixed.py --cfg-options backbone.checkpoint=START
          (START: backbone.safetensors of configs/scenes/mae_start.py; without it, from scratch)
Expected: docs/benchmark.md, "Every objective"
"""

from mmengine.config import read_base

with read_base():
    from .._base_.runtime import *
    from .._base_.scenes_data import *
    from .._base_.scenes_learner import *

from vssl.designers import Identity
from vssl.objectives import IJEPA
from vssl.views import MultiCrop

objective = dict(
    type=IJEPA,
    predictor_dim=64,
    predictor_depth=2,
    predictor_heads=2,
    min_keep=4,  # targets have 9 or 12 of the 64 patches
    teacher_momentum_start=0.99,
)
recipe = dict(
    type=MultiCrop,
    global_size=32,
    n_global=1,
    global_scale=(0.3, 1.0),
    flip=0.0,
    jitter=None,
    grayscale=0.0,
    blur=None,
)
designer = dict(type=Identity)
schedule.update(head_share=0.2)  # the start comes without its predictor
budget = dict(steps=400)
