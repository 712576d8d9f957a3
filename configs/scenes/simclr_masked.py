"""V-Pretraining on scenes: as simclr_policy.py, with a U-Net blur mask over the policy's views, trained together.

Command:  python tools/train.py configs/scenes/simclr_masked.py --cfg-options backbone.checkpoint=START
          (START: backbone.safetensors of configs/scenes/simclr_start.py)
Expected: docs/benchmark.md
"""

from mmengine.config import read_base

with read_base():
    from .simclr_policy import *

from vssl.designers import MaskedPolicy, UNetMask

designer = dict(
    type=MaskedPolicy,
    policy=designer,
    mask=dict(type=UNetMask, width=8, stem=4, keep_ratio=0.6, sparsity=0.131, smoothness=0.144),
)
designer_optimizer.update(lr=3e-4)
designer_learning_rates = dict(policy=0.1)
