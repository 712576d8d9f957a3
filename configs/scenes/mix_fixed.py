"""MAE and DINO on one backbone, with DINO's recipe on scenes.

Command:  python tools/train.py configs/scenes/mix_fixed.py --cfg-options backbone.checkpoint=START
          (START: backbone.safetensors of configs/scenes/mae_start.py)
Expected: docs/benchmark.md, "Every objective"
"""

from mmengine.config import read_base

with read_base():
    from .dino_fixed import *

from vssl.objectives import DINO, MAE, ObjectiveMix

objective = dict(
    type=ObjectiveMix,
    objectives=dict(
        mae=dict(type=MAE, mask_ratio=0.6, decoder_dim=96, decoder_depth=1, decoder_heads=3),
        dino=dict(
            type=DINO, n_local_crops=4, out_dim=1024, hidden_dim=256, bottleneck_dim=64, teacher_momentum_start=0.99
        ),
    ),
    weights=dict(mae=1.0, dino=0.1),
)
schedule.update(head_share=0.2)  # the start comes without decoder and head
