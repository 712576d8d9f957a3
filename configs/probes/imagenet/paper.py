"""ImageNet-1k as the V-Pretraining paper probes it: batch norm and a linear classifier on frozen features; kNN.

Command:  python tools/probe.py configs/probes/imagenet/paper.py --model vit_base_patch16_dinov3
Data:     ImageNet-1k, data/README.md
Expected: paper, DINOv3 ViT-B 80.74 → 81.01 top-1, ViT-L 84.07 → 84.59 (baseline → V-Pretraining); not yet run here
Source:   arXiv 2601.22108. It does not state pooling, optimizer, schedule, augmentation or the choice of a learning
          rate: here they are DINOv2's, on the last layer's class token
"""

from mmengine.config import read_base

with read_base():
    from .dinov2 import *

probes.linear.update(last_layers=[1], pools=["class"], batch_norm=True)
