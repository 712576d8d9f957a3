"""iBOT with the fixed recipe on scenes: DINO's crops, and half of the global ones masked.

Command:  python tools/train.py configs/scenes/ibot_fixed.py --cfg-options backbone.checkpoint=START
          (START: backbone.safetensors of configs/scenes/mae_start.py; without it, from scratch)
Expected: docs/benchmark.md, "Every objective"
"""

from mmengine.config import read_base

with read_base():
    from .dino_fixed import *

from vssl.objectives import IBOT

objective = dict(
    type=IBOT,
    n_local_crops=4,
    out_dim=1024,
    hidden_dim=256,
    bottleneck_dim=64,
    teacher_momentum_start=0.99,
    # DINO's of these scenes. At the authors' 0.07 the targets of a run of 200 steps were nearly uniform.
    teacher_temperature=0.04,
    patch_temperature=0.04,
)
