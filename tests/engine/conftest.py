"""A complete training config on miniature data: 32-px images in the real layouts, a ViT of width 32 and depth 3."""

import copy

import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image
from torch.optim import AdamW

from vssl.datasets import DepthImages, SegmentationImages, UnlabeledImages, joint_transform
from vssl.designers import Identity, UNetMask
from vssl.feedback import Depth, Feedback, Pool, Segmentation
from vssl.learner import TimmBackbone
from vssl.objectives import SimCLR
from vssl.value import Cosine, GradientAverage, UnitNorm, central_difference
from vssl.views import MultiCrop

SIZE = 32


@pytest.fixture(scope="session")
def miniature(tmp_path_factory):
    """Random coloured squares on a background: label = colour class, depth = 1 m per class and 4 m behind."""
    root, rng = tmp_path_factory.mktemp("miniature"), np.random.default_rng(0)
    for part, split, count in [("imagenet", "train/a", 24), ("ade20k", "training", 16), ("nyuv2", "train", 16)]:
        images = root / part / split if part == "imagenet" else root / part / "images" / split
        labels = root / part / "annotations" / split
        images.mkdir(parents=True)
        labels.mkdir(parents=True, exist_ok=True)
        for number in range(count):
            pixels = rng.integers(0, 80, (SIZE, SIZE, 3))
            label, depth = np.full((SIZE, SIZE), 1, np.uint8), np.full((SIZE, SIZE), 4000, np.uint16)
            kind, (y, x) = rng.integers(0, 2), rng.integers(0, SIZE // 2, 2)
            square = np.s_[y : y + SIZE // 2, x : x + SIZE // 2]
            pixels[square] += np.array([[150, 20, 20], [20, 20, 150]])[kind]
            label[square], depth[square] = kind + 2, 1000 * (kind + 1)
            label[0], depth[0] = 0, 0
            Image.fromarray(pixels.astype(np.uint8)).save(images / f"{number:04d}.jpg", quality=95)
            if part == "ade20k":
                Image.fromarray(label).save(labels / f"{number:04d}.png")
            elif part == "nyuv2":
                Image.fromarray(depth).save(labels / f"{number:04d}.png")
    return root


def _pool(kind, root, split):
    dataset = dict(type=kind, root=str(root), split=split, transform=dict(type=joint_transform, size=SIZE))
    return dict(type=Pool, dataset=dataset, train=10, meta=6, batch_size=4, meta_batch_size=4)


@pytest.fixture
def fixed_config(miniature):
    """The fixed-recipe baseline: SimCLR, 6 steps."""
    return Config(
        dict(
            backbone=dict(
                type=TimmBackbone, name="vit_tiny_patch16_224", img_size=SIZE, patch_size=8, embed_dim=32, depth=3,
                num_heads=2, aligned_blocks=2,
            ),
            objective=dict(type=SimCLR, pool="patch", hidden_dim=32, out_dim=16),
            recipe=dict(type=MultiCrop, global_size=SIZE, n_global=2),
            designer=dict(type=Identity),
            optimizer=dict(type=AdamW, lr=1e-3, weight_decay=0.04),
            schedule=dict(warmup_share=0.2, final_ratio=0.1),
            clip_grad=1.0,
            unlabeled=dict(type=UnlabeledImages, root=str(miniature / "imagenet" / "train"), size=SIZE),
            batch_size=8,
            budget=dict(steps=6),
            log_interval=2,
            checkpoint_interval=2,
            rankme_interval=2,
            threads=1,
        )
    )  # fmt: skip


@pytest.fixture
def designed_config(fixed_config, miniature):
    """The same run with a U-Net mask designed by segmentation and depth feedback, a meta step every 2 steps."""
    config = copy.deepcopy(fixed_config)
    config.merge_from_dict(
        dict(
            designer=dict(type=UNetMask, width=4),
            designer_optimizer=dict(type=AdamW, lr=1e-2, weight_decay=0.0),
            feedback=dict(
                type=Feedback,
                tasks=dict(segmentation=dict(type=Segmentation, num_classes=3), depth=dict(type=Depth)),
                pools=dict(
                    segmentation=_pool(SegmentationImages, miniature / "ade20k", "training"),
                    depth=_pool(DepthImages, miniature / "nyuv2", "train"),
                ),
                first_head_steps=3,
            ),
            value=dict(
                rule=dict(type=Cosine),
                combine=dict(type=UnitNorm, weights=dict(segmentation=1.0, depth=1.0)),
                average_g_down=dict(type=GradientAverage, momentum=0.5),
                estimator=dict(type=central_difference),
                period=2,
                batch_size=8,
            ),
        )
    )
    return config
