"""ADE20K segmentation by DINOv3's protocol: a linear head on the last layer.

Command:  python tools/probe.py configs/probes/ade20k/dinov3.py --model vit_base_patch16_dinov3.lvd1689m
          (or --backbone runs/NAME/backbone.safetensors)
Data:     data/ade20k: 20 210 training and 2 000 validation images (tools/prepare_data.py ade20k)
Memory:   not measured
Expected: DINOv3 paper: 47.0 mIoU (ViT-S/16), 51.8 (ViT-B/16), 54.9 (ViT-L/16); not run here
Source:   github.com/facebookresearch/dinov3, dinov3/eval/segmentation and its config-ade20k-linear-training.yaml: PIL's
          antialiased resize, torchvision's saturation and hue (± half a turn), no clipping, cross-entropy whose mean
          counts ignored pixels, `WarmupOneCycleLR` one step behind the optimizer
Ours:     the last step is scored; DINOv3 evaluates on val every 5000 steps and reports the best
"""

from mmengine.config import read_base
from mmseg.models.losses import CrossEntropyLoss
from torch.optim import AdamW

with read_base():
    from ..._base_.probe_ade20k import *

from vssl.probes.dense.curves import WarmupOneCycle
from vssl.probes.dense.transforms import TorchvisionDistortion

resize = dict(resize_type=Resize, keep_ratio=True, backend="pillow")
train.update(
    pipeline=[
        load,
        labels,
        dict(type=RandomResize, scale=(2048, 512), ratio_range=(0.5, 2.0), **resize),
        dict(type=RandomCrop, crop_size=crop, cat_max_ratio=0.75),
        dict(type=RandomFlip, prob=0.5),
        dict(type=TorchvisionDistortion),
        pack,
    ]
)
val.update(pipeline=[load, dict(type=Resize, scale=(2048, 512), keep_ratio=True, backend="pillow"), labels, pack])
ade20k.update(
    train=train,
    val=val,
    layers="last",
    final_norm=True,
    class_token=False,
    # over 8 GPUs in the paper; one process with the whole batch has the same statistics
    head=dict(
        norm_cfg=dict(type="SyncBN"),
        dropout_ratio=0.1,
        dropout_first=True,
        init_std=0.01,
        loss_decode=dict(type=CrossEntropyLoss, avg_non_ignore=False),
    ),
    schedule=dict(
        optimizer=dict(type=AdamW, lr=1e-3, weight_decay=1e-3),
        steps=40_000,
        batch_size=16,
        warmup_steps=1500,
        curve=dict(type=WarmupOneCycle, warmup_ratio=1e-6, straight=True, lag=1),
    ),
    precision="fp32",
)
probes = dict(ade20k=ade20k)
