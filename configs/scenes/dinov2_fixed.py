"""DINOv2 with the fixed recipe on scenes: iBOT's masked crops, heads apart, Sinkhorn-Knopp targets and KoLeo.

Command:  python tools/train.py configs/scenes/dinov2_fixed.py --cfg-options backbone.checkpoint=START
          (START: backbone.safetensors of configs/scenes/mae_start.py; without it, from scratch)
Expected: docs/benchmark.md, "Every objective"
"""

from mmengine.config import read_base

with read_base():
    from .dino_fixed import *

from vssl.objectives import DINOv2

objective = dict(
    type=DINOv2,
    n_local_crops=4,
    out_dim=1024,
    hidden_dim=256,
    bottleneck_dim=64,
    teacher_momentum_start=0.99,
    # DINO's of these scenes. At the authors' 0.07 the targets of a run of 200 steps were nearly uniform.
    teacher_temperature=0.04,
    patch_temperature=0.04,
)
