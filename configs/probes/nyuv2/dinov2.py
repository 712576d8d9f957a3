"""NYUv2 depth by DINOv2's protocols: 256 bins on the last layer (lin1) and on four layers (lin4), with class token.

Command:  python tools/probe.py configs/probes/nyuv2/dinov2.py --model vit_base_patch14_dinov2.lvd142m
Data:     data/nyuv2 (tools/prepare_data.py nyuv2). The published numbers train on the list set of 24 231 images, not
          on the 795 of the labeled file; the card says how many were used.
Memory:   not measured
Expected: DINOv2 paper, lin1 / lin4: 0.449 / 0.417 m RMSE (ViT-S/14), 0.399 / 0.362 (ViT-B/14), 0.384 / 0.333
          (ViT-L/14); not run here

Source:   copies in public repositories of DINOv2's head configs for KITTI (linear) and NYUv2 (DPT), which agree in all
          that is set here; github.com/facebookresearch/dinov2, dinov2/eval/depth. They name a gradient loss of weight
          0.5, which is exactly 0 in that code with its 2 images a GPU (see `GradientLoss`): the published heads trained
          on SigLoss alone, and so does this
Ours:     - the last step is scored; DINOv2 keeps the best of its evaluations on test (by AbsRel)
          - labels above 10 m are left out of the loss as well as of the score; DINOv2's loss takes all above 0
          - sides that are no multiple of 14 are padded at the right and below with their last column and row, and the
            maps cut back (`FrozenBackbone`); DINOv2 pads evenly on both sides with the mean colour
"""

from mmengine.config import read_base
from torch import nn
from torch.optim import AdamW

with read_base():
    from ..._base_.probe_nyuv2 import *

from vssl.probes.dense.curves import MMCV
from vssl.probes.dense.heads import BinDepthHead
from vssl.probes.dense.losses import SigLoss

nyuv2.update(
    final_norm=False,
    class_token=True,
    head=dict(type=BinDepthHead, norm_cfg=dict(type=nn.Identity), upsample=4),
    losses=[dict(type=SigLoss, warmup_steps=100, images=2)],
    schedule=dict(
        optimizer=dict(type=AdamW, lr=1e-4, weight_decay=0.01),
        steps=38_400,
        batch_size=16,
        warmup_steps=12_800,
        clip_norm=35.0,
        curve=dict(type=MMCV, decay="cosine", warmup_ratio=1e-3, final_ratio=1e-8, cycle_momentum=True),
    ),
    precision="fp32",
)
probes = dict(nyuv2_lin1=dict(layers="last", **nyuv2), nyuv2_lin4=dict(layers="spread4", **nyuv2))
