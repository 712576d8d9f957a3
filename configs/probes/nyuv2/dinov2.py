"""NYUv2 depth by DINOv2's protocols: 256 bins on the last layer (lin1) and on four layers (lin4), with class token.

Command:  python tools/probe.py configs/probes/nyuv2/dinov2.py --model vit_base_patch14_dinov2.lvd142m
Data:     data/nyuv2 (tools/prepare_data.py nyuv2). The published numbers train on the list set of 24 231 images, not
          on the 795 of the labeled file; the card says how many were used.
Memory:   not measured
Expected: DINOv2 paper, lin1 / lin4: 0.449 / 0.417 m RMSE (ViT-S/14), 0.399 / 0.362 (ViT-B/14), 0.384 / 0.333
          (ViT-L/14); not run here

Optimizer, decay, the gradient loss's weight and the missing final norm were set from memory and not checked against
the published configs: check them before quoting a score. Colour augmentation is left out.
"""

from mmengine.config import read_base
from torch import nn
from torch.optim import AdamW

with read_base():
    from ..._base_.probe_nyuv2 import *

from vssl.probes.heads import BinDepthHead
from vssl.probes.losses import GradientLoss, SigLoss

nyuv2.update(
    final_norm=False,
    class_token=True,
    head=dict(type=BinDepthHead, norm_cfg=dict(type=nn.Identity), upsample=4),
    losses=[dict(type=SigLoss, warmup_steps=100), dict(type=GradientLoss, weight=0.5)],
    schedule=dict(
        optimizer=dict(type=AdamW, lr=1e-4, weight_decay=0.01),
        steps=38_400,
        batch_size=16,
        warmup_steps=12_800,
        clip_norm=35.0,
    ),
    precision="fp32",
)
probes = dict(nyuv2_lin1=dict(layers="last", **nyuv2), nyuv2_lin4=dict(layers="spread4", **nyuv2))
