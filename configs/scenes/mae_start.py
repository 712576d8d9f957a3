"""The start checkpoint: MAE from scratch on rendered scenes.

Command:  python tools/train.py configs/scenes/mae_start.py
Expected: seed 0, by configs/probes/scenes.py on data/scenes: 71.9 mIoU, RMSE 0.428 m, top-1 90.7 %, kNN 68.7 % (random
          weights: 54.4, 0.629, 53.7, 41.2); 84 s on one x86-64 thread
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
budget = dict(steps=800)
