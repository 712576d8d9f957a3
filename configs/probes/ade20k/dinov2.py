"""ADE20K segmentation by DINOv2's protocols: linear on the last layer, and "+ms" on four layers, scales and flips.

Command:  python tools/probe.py configs/probes/ade20k/dinov2.py --model vit_base_patch14_dinov2.lvd142m
          (--only ade20k_lin for the first alone: the second looks at every image ten times, up to 1920 px high)
Data:     data/ade20k: 20 210 training and 2 000 validation images (tools/prepare_data.py ade20k)
Memory:   not measured
Expected: DINOv2 paper, lin: 44.3 mIoU (ViT-S/14), 47.3 (ViT-B/14), 47.7 (ViT-L/14); not run here

Source:   copies of DINOv2's ADE20K configs in public repositories (scales, windows, AdamW, poly decay with power 1
          multiplied by the warm-up from 1e-6, no clipping, cross-entropy whose mean counts ignored pixels)
Ours:     - the last step is scored; DINOv2 reports the best of its evaluations on val
          - sides that are no multiple of 14 are padded at the right and below with their last column and row, and the
            maps cut back (`FrozenBackbone`); DINOv2 pads evenly on both sides with the mean colour
"""

from mmengine.config import read_base
from mmseg.models.losses import CrossEntropyLoss
from torch.optim import AdamW

with read_base():
    from ..._base_.probe_ade20k import *

from vssl.probes.dense.curves import MMCV

ade20k.update(
    final_norm=True,
    class_token=False,
    head=dict(norm_cfg=dict(type="SyncBN"), loss_decode=dict(type=CrossEntropyLoss, avg_non_ignore=False)),
    schedule=dict(
        optimizer=dict(type=AdamW, lr=1e-3, weight_decay=1e-4),
        steps=40_000,
        batch_size=16,
        warmup_steps=1500,
        curve=dict(type=MMCV, decay="linear", warmup_ratio=1e-6),
    ),
    precision="fp32",
)

large = (640, 640)  # px
scales = [1.0, 1.32, 1.73, 2.28, 3.0]
large_train = dict(
    **dataset,
    data_prefix=train["data_prefix"],
    pipeline=[
        load,
        labels,
        dict(type=RandomResize, scale=(99_999, 640), ratio_range=(1.0, 3.0), resize_type=Resize, keep_ratio=True),
        dict(type=RandomCrop, crop_size=large, cat_max_ratio=0.75),
        dict(type=RandomFlip, prob=0.5),
        dict(type=PhotoMetricDistortion),
        pack,
    ],
)
large_val = dict(
    **dataset,
    data_prefix=val["data_prefix"],
    pipeline=[load, dict(type=Resize, scale=(99_999, 640), keep_ratio=True), labels, pack],
)
ade20k_ms = dict(ade20k)
ade20k_ms.update(
    train=large_train,
    val=large_val,
    size=large,
    layers="last4",
    inference=dict(mode="slide", crop_size=large, stride=(320, 320), scales=scales, flip=True),
)
probes = dict(ade20k_lin=dict(layers="last", **ade20k), ade20k_ms=ade20k_ms)
