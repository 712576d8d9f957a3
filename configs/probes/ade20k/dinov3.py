"""ADE20K segmentation by DINOv3's protocol: a linear head on the last layer.

Command:  python tools/probe.py configs/probes/ade20k/dinov3.py --model vit_base_patch16_dinov3.lvd1689m
          (or --backbone runs/NAME/backbone.safetensors)
Data:     data/ade20k: 20 210 training and 2 000 validation images (tools/prepare_data.py ade20k)
Memory:   not measured
Expected: DINOv3 paper: 47.0 mIoU (ViT-S/16), 51.8 (ViT-B/16), 54.9 (ViT-L/16); not run here
"""

from mmengine.config import read_base
from torch.optim import AdamW

with read_base():
    from ..._base_.probe_ade20k import *

ade20k.update(
    layers="last",
    final_norm=True,
    class_token=False,
    # over 8 GPUs in the paper; one process with the whole batch has the same statistics
    head=dict(norm_cfg=dict(type="SyncBN"), dropout_ratio=0.1, dropout_first=True, init_std=0.01),
    schedule=dict(
        optimizer=dict(type=AdamW, lr=1e-3, weight_decay=1e-3),
        steps=40_000,
        batch_size=16,
        warmup_steps=1500,
        clip_norm=35.0,  # the default of DINOv3's code
    ),
    precision="fp32",
)
probes = dict(ade20k=ade20k)
