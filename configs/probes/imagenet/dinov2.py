"""ImageNet-1k as DINOv2 probes it: 13 learning rates × {1, 4} last layers × pooling in one backbone pass; kNN.

Command:  python tools/probe.py configs/probes/imagenet/dinov2.py --model vit_small_patch14_dinov2 \
              --model-args img_size=224
Data:     ImageNet-1k, data/README.md
Expected: published kNN / linear: S/14 79.0/81.1, B/14 82.1/84.5, L/14 83.5/86.3; not yet run here
Departs:  the classifier is chosen on 1 % of train, held out. The published choice, best on val, is
          --cfg-options probes.linear.select=val
Source:   github.com/facebookresearch/dinov2, dinov2/eval/linear.py and knn.py: SGD momentum 0.9, no weight decay,
          12 500 steps, cosine to 0, learning rates times batch / 256, random resized crops and flips
"""

from mmengine.config import read_base
from torch.optim import SGD

with read_base():
    from ..._base_.imagenet_probe import *

from vssl.probes.image.linear_grid import LinearGridProbe

batch = 1024
probes = dict(
    linear=dict(
        type=LinearGridProbe,
        **folders,
        **view,
        **reading,
        learning_rates=[
            lr * batch / 256 for lr in (1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1)
        ],
        last_layers=[1, 4],
        pools=["class", "class+avg"],
        schedule=dict(optimizer=dict(type=SGD, lr=0.1, momentum=0.9), steps=12_500, batch_size=batch),
        holdout=0.01,
    ),
    knn=knn,
)
