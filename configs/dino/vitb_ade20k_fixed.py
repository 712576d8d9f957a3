"""DINOv3 ViT-B, settings selected for ADE20K: the fixed-recipe twin of vitb_ade20k.py, and its baseline.

Command:  python tools/train.py configs/dino/vitb_ade20k_fixed.py
Data:     ImageNet-1k (data/README.md); the released DINOv3 weights through timm (their own licence)
Memory:   not yet measured
Expected: paper: 48.82 mIoU; not yet run here
"""

from mmengine.config import read_base

with read_base():
    from .._base_.dino_continued import *

backbone.update(name="vit_base_patch16_dinov3", aligned_blocks=2)
optimizer.update(lr=4.15e-6)
batch_size = 256
