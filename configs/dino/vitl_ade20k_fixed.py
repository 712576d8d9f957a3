"""DINOv3 ViT-L, settings selected for ADE20K: the fixed-recipe twin of vitl_ade20k.py, and its baseline.

Command:  python tools/train.py configs/dino/vitl_ade20k_fixed.py
Data:     ImageNet-1k (data/README.md); the released DINOv3 weights through timm (their own licence)
Memory:   not yet measured
Expected: paper: 51.33 mIoU; not yet run here
"""

from mmengine.config import read_base

with read_base():
    from .._base_.dino_continued import *

backbone.update(name="vit_large_patch16_dinov3", aligned_blocks=4)
optimizer.update(lr=4.50e-5)
batch_size = 50
