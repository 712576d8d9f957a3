"""A small ViT for photographs at 64 px: width 96, 4 blocks, patch 8. Everything but the sizes is that of the scenes."""

from mmengine.config import read_base

with read_base():
    from .scenes_learner import *

backbone.update(img_size=64, patch_size=8, embed_dim=96, num_heads=3, mlp_ratio=4.0)
