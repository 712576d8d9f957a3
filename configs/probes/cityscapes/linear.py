"""Cityscapes segmentation, 19 classes, with a linear head on the last layer; windows over the full 1024×2048 px.

Command:  python tools/probe.py configs/probes/cityscapes/linear.py --model vit_base_patch16_dinov3.lvd1689m
Data:     data/cityscapes/{leftImg8bit,gtFine}/{train,val}/CITY/…, 2 975 and 500 images, with the labelTrainIds that
          cityscapesscripts.preparation.createTrainIdLabelImgs writes
Memory:   not measured
Expected: not yet measured
Source:   configs/_base_/probe_linear_segmentation.py, at mmseg's scale for Cityscapes
"""

from mmengine.config import read_base

with read_base():
    from ..._base_.probe_linear_segmentation import *

from vssl.probes.datasets import Cityscapes

data_root = "data/cityscapes"
full = (2048, 1024)  # (width, height), px
train.update(
    type=Cityscapes,
    data_root=data_root,
    data_prefix=dict(img_path="leftImg8bit/train", seg_map_path="gtFine/train"),
    pipeline=[
        load,
        labels,
        dict(type=RandomResize, scale=full, ratio_range=(0.5, 2.0), **resize),
        dict(type=RandomCrop, crop_size=crop, cat_max_ratio=0.75),
        dict(type=RandomFlip, prob=0.5),
        dict(type=TorchvisionDistortion),
        pack,
    ],
)
val.update(
    type=Cityscapes,
    data_root=data_root,
    data_prefix=dict(img_path="leftImg8bit/val", seg_map_path="gtFine/val"),
    pipeline=[load, dict(type=Resize, scale=full, keep_ratio=True, backend="pillow"), labels, pack],
)
linear.update(train=train, val=val)
probes = dict(cityscapes=linear)
