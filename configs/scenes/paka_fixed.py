"""PaKA with the fixed recipe on scenes: the teacher sees crop 0 in its own colours, the student 5 others.

Command:  python tools/train.py configs/scenes/paka_fixed.py --cfg-options backbone.checkpoint=START
          (START: backbone.safetensors of configs/scenes/mae_start.py; without it, from scratch)
Expected: docs/benchmark.md, "Every objective"
"""

from mmengine.config import read_base

with read_base():
    from .._base_.runtime import *
    from .._base_.scenes_data import *
    from .._base_.scenes_learner import *

from vssl.designers import Identity
from vssl.objectives import PaKA
from vssl.views import MultiCrop

objective = dict(type=PaKA, n_local_crops=4, cells=4, teacher_crops=(0,), teacher_momentum_start=0.99)
# Probabilities: of crop 0, of crop 1, of local crops.
recipe = dict(
    type=MultiCrop,
    global_size=32,
    local_size=16,
    n_global=2,
    n_local=4,
    global_scale=(0.4, 1.0),
    local_scale=(0.1, 0.4),
    jitter=dict(brightness=0.4, contrast=0.4, saturation=0.2, hue=0.1, p=(0.0, 0.8, 0.8)),
    grayscale=(0.0, 0.2, 0.2),
    blur=dict(sigma=(0.1, 1.0), p=(0.0, 0.5, 0.5)),
)
designer = dict(type=Identity)
budget = dict(steps=150)
