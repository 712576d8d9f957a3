"""MAE from scratch on photographs: a start that the arms continue.

Command:  python tools/train.py configs/photos/mae_start.py
Data:     data/photos (docs/photos.md)
Expected: docs/photos.md
"""

from mmengine.config import read_base

with read_base():
    from .._base_.photos_data import *
    from .._base_.photos_learner import *
    from .._base_.runtime import *

from vssl.designers import Identity
from vssl.objectives import MAE
from vssl.views import MultiCrop

objective = dict(type=MAE, mask_ratio=0.75, decoder_dim=96, decoder_depth=1, decoder_heads=3)
recipe = dict(
    type=MultiCrop, global_size=64, n_global=1, global_scale=(0.2, 1.0), jitter=None, grayscale=0.0, blur=None
)
designer = dict(type=Identity)
optimizer.update(lr=1.5e-3)
budget = dict(steps=1000)
