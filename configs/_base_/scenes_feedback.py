"""Feedback on scenes: segmentation and depth, a few hundred labeled images each, and how a step is valued."""

from torch.optim import AdamW

from vssl.datasets import DepthImages, SegmentationImages, joint_transform
from vssl.feedback import Depth, Feedback, Pool, Segmentation
from vssl.value import Cosine, GradientAverage, UnitNorm, forward_difference

feedback = dict(
    type=Feedback,
    tasks=dict(
        segmentation=dict(type=Segmentation, num_classes=14, label_stride=4),
        depth=dict(type=Depth, label_stride=4),
    ),
    pools=dict(
        segmentation=dict(
            type=Pool,
            dataset=dict(
                type=SegmentationImages,
                root="data/scenes/ade20k",
                split="training",
                transform=dict(type=joint_transform, size=32, scale=None),
                in_memory=True,
            ),
            train=384,
            meta=128,
            batch_size=48,
            meta_batch_size=128,
        ),
        depth=dict(
            type=Pool,
            dataset=dict(
                type=DepthImages,
                root="data/scenes/nyuv2",
                split="train",
                transform=dict(type=joint_transform, size=32, scale=None),
                in_memory=True,
            ),
            train=384,
            meta=128,
            batch_size=48,
            meta_batch_size=128,
        ),
    ),
    # Heads that are fitted step by step lag behind so small and fast a learner (docs/benchmark.md).
    evaluator="ridge",
    head_steps=8,  # all 384 images
)
value = dict(
    rule=dict(type=Cosine),
    combine=dict(type=UnitNorm, weights=dict(segmentation=1.0, depth=1.0)),
    average_g_down=dict(type=GradientAverage, momentum=0.9),
    estimator=dict(type=forward_difference),  # up to a pass less than central_difference
    # Early and often: what the start lacks is clearest before the learner moves (docs/benchmark.md), and later steps
    # then cost what they cost the fixed recipe.
    g_down_every=10,
    period=1,
    burn_in=30,
    warmup=0,
    freeze_after=60,
    recognisability=0.0,
    norm_growth=0.0,
    candidates=8,
    batch_size=48,
)
designer_optimizer = dict(type=AdamW, lr=1e-3, weight_decay=0.0)
