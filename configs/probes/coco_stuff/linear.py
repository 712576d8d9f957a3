"""COCO-Stuff 164k segmentation, 171 classes, with a linear head on the last layer.

Command:  python tools/probe.py configs/probes/coco_stuff/linear.py --model vit_base_patch16_dinov3.lvd1689m
Data:     data/coco_stuff164k/{images,annotations}/{train2017,val2017}, 118 287 and 5 000 images, with the labelTrainIds
          that mmseg's tools/dataset_converters/coco_stuff164k.py writes
Memory:   not measured
Expected: not yet measured
Source:   configs/_base_/probe_linear_segmentation.py
"""

from mmengine.config import read_base

with read_base():
    from ..._base_.probe_linear_segmentation import *

from vssl.probes.datasets import COCOStuff

data_root = "data/coco_stuff164k"
train.update(
    type=COCOStuff,
    data_root=data_root,
    data_prefix=dict(img_path="images/train2017", seg_map_path="annotations/train2017"),
)
val.update(
    type=COCOStuff,
    data_root=data_root,
    data_prefix=dict(img_path="images/val2017", seg_map_path="annotations/val2017"),
)
linear.update(train=train, val=val)
probes = dict(coco_stuff=linear)
