"""NYUv2 depth by the V-Pretraining paper's protocol: the default judge of this project's runs.

Command:  python tools/probe.py configs/probes/nyuv2/paper.py --backbone runs/NAME/backbone.safetensors
Data:     data/nyuv2 (tools/prepare_data.py nyuv2)
Memory:   not measured
Expected: paper, DINOv3 ViT-B: 0.5888 m RMSE (fixed recipe), 0.5697 (V-Pretraining); ViT-L: 0.5752, 0.5522; not run here

The paper states neither optimizer nor augmentations: AdamW and flips. No random scale, since a zoom changes the metres
that a picture shows.
"""

from mmengine.config import read_base
from torch.optim import AdamW

with read_base():
    from ..._base_.probe_nyuv2 import *

from vssl.probes.dense.losses import ValidDepthLoss

train.update(pipeline=[load, metres, full, dict(type=RandomFlip, prob=0.5), pack])
nyuv2.update(
    train=train,
    size=image,
    layers="last",
    final_norm=True,
    class_token=False,
    head=dict(norm_cfg=dict(type="BN")),
    losses=[dict(type=ValidDepthLoss, power=2)],
    inference=dict(flip=False),
    schedule=dict(
        optimizer=dict(type=AdamW, lr=1e-3, weight_decay=0.05),
        steps=20_000,
        batch_size=8,
        warmup_steps=1000,
        clip_norm=1.0,
    ),
    precision="bf16",
)
probes = dict(nyuv2=nyuv2)
