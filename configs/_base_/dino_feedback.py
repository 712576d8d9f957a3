"""Feedback of the paper rows: ADE20K (2000 train + 512 meta images) and NYUv2 (512 + 128).

Unstated, ours: how labeled images are cropped, their batch sizes, the heads' learning rate and first steps, and the
alignment: the cosine, which ‖g_pre‖ cannot inflate.
"""

from torch.optim import AdamW

from vssl.datasets import DepthImages, SegmentationImages, joint_transform
from vssl.feedback import Depth, Feedback, Pool, Segmentation
from vssl.value import Cosine, WeightedSum, double_backward

feedback = dict(
    type=Feedback,
    tasks=dict(segmentation=dict(type=Segmentation, num_classes=150), depth=dict(type=Depth)),
    pools=dict(
        segmentation=dict(
            type=Pool,
            dataset=dict(
                type=SegmentationImages,
                root="data/ade20k",
                split="training",
                transform=dict(type=joint_transform, size=224),
            ),
            train=2000,
            meta=512,
            batch_size=16,
            meta_batch_size=16,
        ),
        depth=dict(
            type=Pool,
            dataset=dict(
                type=DepthImages, root="data/nyuv2", split="train", transform=dict(type=joint_transform, size=224)
            ),
            train=512,
            meta=128,
            batch_size=16,
            meta_batch_size=16,
        ),
    ),
    head_lr=5e-4,
    first_head_steps=100,
)
value = dict(
    rule=dict(type=Cosine),
    combine=dict(type=WeightedSum, weights=dict(segmentation=1.0, depth=1.0)),
    estimator=dict(type=double_backward),
    period=4,
    batch_size=32,
)
designer_optimizer = dict(type=AdamW, lr=1.54e-4, weight_decay=0.0)
