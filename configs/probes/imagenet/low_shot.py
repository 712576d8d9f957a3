"""ImageNet-1k from 1, 5 and 25 labeled images of each class: a linear classifier and kNN, five draws.

Command:  python tools/probe.py configs/probes/imagenet/low_shot.py --model vit_base_patch16_dinov3 --cache features
          (every training image is looked at once; the cache keeps the features for other probes)
Data:     ImageNet-1k, data/README.md
Expected: not yet measured
Source:   no published protocol is followed. Published low-shot numbers fix lists of images (1 % of ImageNet in SimCLR)
          or take a few images a class (MSN, arXiv 2204.07141: logistic regression on frozen features)
"""

from mmengine.config import read_base

with read_base():
    from ..._base_.imagenet_probe import *

from vssl.probes.image.low_shot import LowShotProbe

probes = dict(
    low_shot=dict(type=LowShotProbe, **folders, **view, **reading, pool="class", shots=[1, 5, 25], draws=5, k=20)
)
