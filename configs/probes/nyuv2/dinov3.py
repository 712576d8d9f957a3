"""NYUv2 depth by DINOv3's protocol: 256 bins on the last layer.

Command:  python tools/probe.py configs/probes/nyuv2/dinov3.py --model vit_base_patch16_dinov3.lvd1689m
          (or --backbone runs/NAME/backbone.safetensors)
Data:     data/nyuv2 (tools/prepare_data.py nyuv2). The published numbers train on the list set of 24 231 images, not
          on the 795 of the labeled file; the card says how many were used.
Memory:   not measured
Expected: DINOv3 paper: 0.403 m RMSE (ViT-S/16), 0.373 (ViT-B/16), 0.352 (ViT-L/16); not run here

Source:   github.com/facebookresearch/dinov3, dinov3/eval/depth and its config-nyu.yaml: `WarmupOneCycleLR` over the
          whole run, whose warm-up ends at 2.25e-4 and holds β1 at 0; the last step is scored
Ours:     labels above 10 m are left out of the loss as well as of the score; DINOv3's loss takes all but 0
"""

from mmengine.config import read_base
from torch.optim import AdamW

with read_base():
    from ..._base_.probe_nyuv2 import *

from vssl.probes.dense.curves import WarmupOneCycle
from vssl.probes.dense.heads import BinDepthHead
from vssl.probes.dense.losses import SigLoss

nyuv2.update(
    layers="last",
    final_norm=True,
    class_token=False,
    head=dict(type=BinDepthHead, norm_cfg=dict(type="SyncBN")),
    losses=[dict(type=SigLoss, warmup_steps=100, images=2)],
    schedule=dict(
        optimizer=dict(type=AdamW, lr=3e-4, betas=(0.9, 0.99), weight_decay=1e-4),
        steps=38_400,
        batch_size=16,
        warmup_steps=12_800,
        clip_norm=35.0,
        curve=dict(type=WarmupOneCycle, warmup_ratio=1e-3, final_ratio=4e-5, momentum_range=(0.85, 0.95)),
    ),
    precision="fp32",
)
probes = dict(nyuv2=nyuv2)
