"""KITTI depth, Eigen's split, with a linear head on the last layer: SigLoss and 256 bins to 80 m, Garg's region.

Command:  python tools/probe.py configs/probes/kitti/linear.py --model vit_base_patch16_dinov3.lvd1689m
Data:     data/kitti/raw: the raw drives by date (left colour images, image_02); data/kitti/data_depth_annotated as it
          unpacks; data/kitti/eigen_{train,test}_files_with_gt.txt of BTS (github.com/cleinc/bts)
Memory:   not measured
Expected: not yet measured
Source:   head, SigLoss and schedule are those of configs/probes/nyuv2/dinov3.py; Eigen's split, depth up to 80 m,
          training on the lower 352 × 1216 px and Garg's region for the score follow BTS (arXiv 1907.10326)
Ours:     the head sees whole validation images and is scored in Garg's region; BTS cuts them to 352 × 1216 px first
"""

from mmengine.config import read_base

with read_base():
    from ..nyuv2.dinov3 import *

from vssl.probes.datasets import KITTIDepth
from vssl.probes.dense.transforms import KITTICrop

data_root = "data/kitti"
dataset = dict(
    type=KITTIDepth, data_root=data_root, data_prefix=dict(img_path="raw", depth_map_path="data_depth_annotated")
)
metres = dict(type=LoadDepthAnnotation)  # the dataset knows its 256 steps a metre
crop = (352, 704)  # px
probes = dict(
    kitti=dict(
        **{
            **nyuv2,
            "train": dict(
                **dataset,
                ann_file="eigen_train_files_with_gt.txt",
                pipeline=[
                    load,
                    metres,
                    dict(type=KITTICrop),
                    dict(type=RandomRotate, prob=0.5, degree=1.0, seg_pad_val=0),
                    dict(type=RandomFlip, prob=0.5),
                    dict(type=RandomCrop, crop_size=crop),
                    dict(
                        type=ColorAug,
                        prob=0.5,
                        gamma_range=(0.9, 1.1),
                        brightness_range=(0.9, 1.1),
                        color_range=(0.9, 1.1),
                    ),
                    pack,
                ],
            ),
            "val": dict(**dataset, ann_file="eigen_test_files_with_gt.txt", pipeline=[load, metres, pack]),
            "size": crop,
            "max_depth": 80.0,
            "eigen_crop": False,
            "garg_crop": True,
        }
    )
)
