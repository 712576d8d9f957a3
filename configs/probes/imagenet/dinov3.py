"""ImageNet-1k as DINOv3 probes it: DINOv2's grid with the last layer and average pooling alone; kNN.

Command:  python tools/probe.py configs/probes/imagenet/dinov3.py --model vit_base_patch16_dinov3
Data:     ImageNet-1k, data/README.md
Expected: not yet run here
Departs:  as dinov2.py
Source:   github.com/facebookresearch/dinov3, dinov3/eval/linear.py
"""

from mmengine.config import read_base

with read_base():
    from .dinov2 import *

probes.linear.update(last_layers=[1], pools=["class+avg"])
