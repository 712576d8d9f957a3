"""ADE20K (SceneParse150) for segmentation probes: what the presets of configs/probes/ade20k share.

Augmentations are mmseg's for ADE20K, which DINOv2 uses as they are; dinov3.py has its own.
"""

from mmcv.transforms import LoadImageFromFile, RandomResize
from mmseg.datasets.transforms import (
    LoadAnnotations,
    PackSegInputs,
    PhotoMetricDistortion,
    RandomCrop,
    RandomFlip,
    Resize,
)

from vssl.probes.datasets import ADE20K
from vssl.probes.dense.segmentation import SegmentationProbe

# --- science ----------------------------------------------------------------------------------------------------------
crop = (512, 512)  # px
slide = dict(mode="slide", crop_size=crop, stride=(341, 341))

# --- data -------------------------------------------------------------------------------------------------------------
data_root = "data/ade20k"
load, labels, pack = dict(type=LoadImageFromFile), dict(type=LoadAnnotations), dict(type=PackSegInputs)
dataset = dict(type=ADE20K, data_root=data_root)
train = dict(
    **dataset,
    data_prefix=dict(img_path="images/training", seg_map_path="annotations/training"),
    pipeline=[
        load,
        labels,
        dict(type=RandomResize, scale=(2048, 512), ratio_range=(0.5, 2.0), resize_type=Resize, keep_ratio=True),
        dict(type=RandomCrop, crop_size=crop, cat_max_ratio=0.75),
        dict(type=RandomFlip, prob=0.5),
        dict(type=PhotoMetricDistortion),
        pack,
    ],
)
val = dict(
    **dataset,
    data_prefix=dict(img_path="images/validation", seg_map_path="annotations/validation"),
    # labels are loaded after the resize: the score is at their own resolution
    pipeline=[load, dict(type=Resize, scale=(2048, 512), keep_ratio=True), labels, pack],
)

# --- efficiency: no effect on the score -------------------------------------------------------------------------------
efficiency = dict(num_workers=4, batch_size=1)

ade20k = dict(type=SegmentationProbe, train=train, val=val, size=crop, inference=slide, path="runner", **efficiency)
