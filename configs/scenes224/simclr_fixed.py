"""Continued pretraining with the fixed recipe of the 32-px study, ViT-S/16 at 224 px: the baseline.

Command:  python tools/train.py configs/scenes224/simclr_fixed.py --cfg-options backbone.checkpoint=START
          (START: backbone.safetensors of configs/scenes224/simclr_start.py)
Expected: not run: no GPU at hand
"""

from mmengine.config import read_base

with read_base():
    from .._base_.scenes224 import *
    from ..scenes.simclr_fixed import designer, objective, recipe

objective.update(hidden_dim=2048, out_dim=128)
recipe.update(global_size=224)
recipe["blur"].update(sigma=(0.1, 2.0))  # as published; pixels of 224-px views
schedule.update(head_share=0.2)  # the start comes without its head
budget = dict(steps=500)
