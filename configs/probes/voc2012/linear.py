"""PASCAL VOC 2012 segmentation, 21 classes, with a linear head on the last layer.

Command:  python tools/probe.py configs/probes/voc2012/linear.py --model vit_base_patch16_dinov3.lvd1689m
Data:     data/VOCdevkit/VOC2012 as the devkit unpacks, and the 10 582 training images of trainaug (Hariharan et al.
          2011): SegmentationClassAug and ImageSets/Segmentation/trainaug.txt. With VOC's own 1 464 alone:
          --cfg-options probes.voc2012.train.ann_file=ImageSets/Segmentation/train.txt \
              probes.voc2012.train.data_prefix.seg_map_path=SegmentationClass
Memory:   not measured
Expected: not yet measured
Source:   configs/_base_/probe_linear_segmentation.py
"""

from mmengine.config import read_base

with read_base():
    from ..._base_.probe_linear_segmentation import *

from vssl.probes.datasets import PascalVOC

data_root = "data/VOCdevkit/VOC2012"
train.update(
    type=PascalVOC,
    data_root=data_root,
    ann_file="ImageSets/Segmentation/trainaug.txt",
    data_prefix=dict(img_path="JPEGImages", seg_map_path="SegmentationClassAug"),
)
val.update(
    type=PascalVOC,
    data_root=data_root,
    ann_file="ImageSets/Segmentation/val.txt",
    data_prefix=dict(img_path="JPEGImages", seg_map_path="SegmentationClass"),
)
linear.update(train=train, val=val)
probes = dict(voc2012=linear)
