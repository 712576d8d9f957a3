"""SimCLR from scratch on photographs with MoCo v2's recipe: a start that the arms continue.

Command:  python tools/train.py configs/photos/simclr_start.py
Data:     data/photos (docs/photos.md)
Expected: not yet measured
"""

from mmengine.config import read_base

with read_base():
    from .._base_.photos_data import *
    from .._base_.photos_learner import *
    from .._base_.runtime import *

from vssl.designers import Identity
from vssl.objectives import SimCLR
from vssl.views import MultiCrop

objective = dict(type=SimCLR, pool="patch", hidden_dim=256, out_dim=64, temperature=0.2)
# MoCo v2's (arXiv 2003.04297); blur in proportion to the image's side: 2 px at 224 px are 0.6 px at 64 px
recipe = dict(
    type=MultiCrop,
    global_size=64,
    n_global=2,
    global_scale=(0.2, 1.0),
    jitter=dict(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, p=0.8),
    grayscale=0.2,
    blur=dict(sigma=(0.1, 0.6), p=0.5),
)
designer = dict(type=Identity)
budget = dict(steps=600)
