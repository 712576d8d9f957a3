"""ADE20K segmentation by the V-Pretraining paper's protocol: the default judge of this project's runs.

Command:  python tools/probe.py configs/probes/ade20k/paper.py --backbone runs/NAME/backbone.safetensors
Data:     data/ade20k: 20 210 training and 2 000 validation images (tools/prepare_data.py ade20k)
Memory:   not measured
Expected: paper, DINOv3 ViT-B: 48.82 mIoU (fixed recipe), 49.68 (V-Pretraining); ViT-L: 51.33, 52.47; not run here

The paper states neither optimizer nor augmentations nor inference: AdamW, and what stands in the base.
"""

from mmengine.config import read_base
from torch.optim import AdamW

with read_base():
    from ..._base_.probe_ade20k import *

ade20k.update(
    layers="last",
    final_norm=True,
    class_token=False,
    head=dict(norm_cfg=dict(type="BN")),
    schedule=dict(
        optimizer=dict(type=AdamW, lr=5e-4, weight_decay=0.05),
        steps=20_000,
        batch_size=8,
        warmup_steps=1000,
        clip_norm=1.0,
    ),
    precision="bf16",
)
probes = dict(ade20k=ade20k)
