"""MAE with learned crops, masks of patches and targets: what a batch is made of, under one value (docs/views.md).

Command:  python tools/train.py configs/scenes/mae_together.py --cfg-options backbone.checkpoint=START
          (START: backbone.safetensors of configs/scenes/mae_start.py)
Expected: not yet measured
"""

from mmengine.config import read_base

with read_base():
    from .mae_weights import *

from vssl.designers import GlobalPolicy, Together, TokenMask

designer = dict(
    type=Together,
    views=dict(type=GlobalPolicy, divergence=0.01),
    patches=dict(type=TokenMask, patch_size=4, learns=("hidden", "counted"), entropy=0.01),
    loss=designer,
)
designer_learning_rates = dict(patches=1e-3)
