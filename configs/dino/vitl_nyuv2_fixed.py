"""DINOv3 ViT-L, settings selected for NYUv2: the fixed-recipe twin of vitl_nyuv2.py, and its baseline.

Command:  python tools/train.py configs/dino/vitl_nyuv2_fixed.py
Data:     ImageNet-1k (data/README.md); the released DINOv3 weights through timm (their own licence)
Memory:   not yet measured
Expected: paper: 0.5752 m RMSE; not yet run here
"""

from mmengine.config import read_base

with read_base():
    from .._base_.dino_continued import *

backbone.update(name="vit_large_patch16_dinov3", aligned_blocks=4)
optimizer.update(lr=1.94e-6)
batch_size = 50
