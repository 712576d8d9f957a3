"""The start checkpoint: MAE from scratch on rendered scenes.

Command:  python tools/train.py configs/scenes/mae_start.py
Expected: 15.1 mIoU, RMSE 0.704 m, top-1 25.8 % (seed 0; random weights: 7.9, 0.740, 15.7), about 2 minutes on two cores
"""

from mmengine.config import read_base

with read_base():
    from .._base_.runtime import *
    from .._base_.scenes_data import *
    from .._base_.scenes_learner import *

from vssl.designers import Identity
from vssl.objectives import MAE
from vssl.views import MultiCrop

objective = dict(type=MAE, mask_ratio=0.6, decoder_dim=96, decoder_depth=1, decoder_heads=3)
recipe = dict(
    type=MultiCrop, global_size=32, n_global=1, global_scale=(0.4, 1.0), jitter=None, grayscale=0.0, blur=None
)
designer = dict(type=Identity)
optimizer.update(lr=1.5e-3)
budget = dict(steps=10)
