"""The start checkpoint of the study at 224 px: MAE from scratch on rendered scenes.

Command:  python tools/train.py configs/scenes224/mae_start.py
          (a checkpoint of your own instead: start=dict(backbone=FILE) in verdict.py, or backbone.pretrained=True here)
Expected: not run: no GPU at hand
"""

from mmengine.config import read_base

with read_base():
    from .._base_.scenes224 import *
    from ..scenes.mae_start import designer, recipe

from vssl.objectives import MAE

# arXiv 2111.06377, with a decoder in proportion to ViT-S
objective = dict(type=MAE, mask_ratio=0.75, decoder_dim=256, decoder_depth=4, decoder_heads=8)
recipe.update(global_size=224)
optimizer.update(betas=(0.9, 0.95), weight_decay=0.05)
budget = dict(steps=500)
