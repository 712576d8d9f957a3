"""Continued pretraining with the fixed recipe: SimCLR on pooled patch tokens. The baseline of the scenes comparison
(there at 5e-4, the best of its three rates on the validation scenes).

Command:  python tools/train.py configs/scenes/simclr_fixed.py --cfg-options backbone.checkpoint=START
          (START: backbone.safetensors of configs/scenes/simclr_start.py)
Expected: docs/benchmark.md
"""

from mmengine.config import read_base

with read_base():
    from .._base_.runtime import *
    from .._base_.scenes_data import *
    from .._base_.scenes_learner import *

from vssl.designers import Identity
from vssl.objectives import SimCLR
from vssl.views import MultiCrop

objective = dict(type=SimCLR, pool="patch", hidden_dim=256, out_dim=64, temperature=0.2)
# MoCo v2's recipe (Chen et al. 2020, arXiv 2003.04297), which SimSiam and others took over. Blur: σ up to 1 px,
# which is 3.5 times as strong as in proportion to the image's side (2 px at 224 px are 0.29 px at 32 px)
recipe = dict(
    type=MultiCrop,
    global_size=32,
    n_global=2,
    global_scale=(0.2, 1.0),
    jitter=dict(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, p=0.8),
    grayscale=0.2,
    blur=dict(sigma=(0.1, 1.0), p=0.5),
)
designer = dict(type=Identity)
schedule.update(head_share=0.2)  # the start comes without its head
budget = dict(steps=200)
