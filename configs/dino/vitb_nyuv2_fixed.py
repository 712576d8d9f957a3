"""DINOv3 ViT-B, settings selected for NYUv2: the fixed-recipe twin of vitb_nyuv2.py, and its baseline.

Command:  python tools/train.py configs/dino/vitb_nyuv2_fixed.py
Data:     ImageNet-1k (data/README.md); the released DINOv3 weights through timm (their own licence)
Memory:   not yet measured
Expected: paper: 0.5888 m RMSE; not yet run here
"""

from mmengine.config import read_base

with read_base():
    from .._base_.dino_continued import *

backbone.update(name="vit_base_patch16_dinov3", aligned_blocks=3)
optimizer.update(lr=8.58e-6)
batch_size = 256
