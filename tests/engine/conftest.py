"""A complete training config on miniature data: 32-px images in the real layouts, a ViT of width 32 and depth 3."""

import copy
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vssl.engine import load_config
from vssl.engine.training import _say_once

SIZE = 32
ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def every_line_is_new():
    _say_once.cache_clear()


@pytest.fixture
def run_ranks():
    """(ranks, script, arguments) → the script has run in so many gloo processes, one without torchrun."""

    def run(ranks, script, *arguments):
        command = [str(script), *map(str, arguments)]
        if ranks > 1:
            with socket.socket() as server:
                server.bind(("127.0.0.1", 0))
                port = str(server.getsockname()[1])
            command = ["-m", "torch.distributed.run", "--nproc-per-node", str(ranks), "--master-port", port, *command]
        environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        done = subprocess.run([sys.executable, *command], env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-3000:]

    return run


@pytest.fixture
def shared_out():
    """(config, ranks) → the config of each of so many ranks that together have the batches of one."""

    def share(config, ranks=2):
        config = copy.deepcopy(config)
        config.batch_size //= ranks
        if config.get("value"):
            config["value"]["batch_size"] //= ranks
            for pool in config.feedback.pools.values():
                pool.batch_size //= ranks
                pool.meta_batch_size //= ranks
        return config

    return share


@pytest.fixture
def cut_short():
    """Trains a runner until so many of its steps are taken, and kills it there."""

    def cut(runner, steps):
        loop, ordinary = runner.train_loop, runner.train_loop.run_iter

        def killed(progress):
            if loop.step == steps:
                raise KeyboardInterrupt
            ordinary(progress)

        loop.run_iter = killed
        with pytest.raises(KeyboardInterrupt):
            runner.train()

    return cut


@pytest.fixture
def assert_slope():
    """The gradient that a meta step leaves in a designer's last layer, or in `weight`, is the slope of the value."""

    def check(runner, rel, weight=None):
        loop, update, designer = runner.train_loop, runner.train_loop.designer_update, runner.train_loop.designer
        weight = designer.head.weight if weight is None else weight
        runner.learner.train()
        with torch.no_grad():
            weight.normal_()
        images, draws = loop.meta_stream.next()[0], loop.draws
        update._feed_back(0, loop.autocast)
        g_down, _ = update._downstream
        update._backward(designer(images, draws("meta views")), None, g_down, draws, loop.autocast)
        direction, start = weight.grad.clone(), weight.detach().clone()
        direction /= direction.norm()

        def value(step):
            with torch.no_grad():
                weight.copy_(start + step * direction)
            g_pre = update.step_gradient(designer(images, draws("meta views")), draws("meta objective"), loop.autocast)
            return float(update.rule(g_down, g_pre, update.preconditioner).value)

        slope = (value(0.05) - value(-0.05)) / 0.1
        assert -float((weight.grad * direction).sum()) == pytest.approx(slope, rel=rel)

    return check


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


@pytest.fixture
def two_folders(miniature, tmp_path):
    """The unlabeled images as a mixture of two sources: 16 in first, which is half of the stream, and 8 in second."""
    for part, numbers in (("first", range(16)), ("second", range(16, 24))):
        (tmp_path / part).mkdir()
        for number in numbers:
            shutil.copy(miniature / f"imagenet/train/a/{number:04d}.jpg", tmp_path / part)
    roots = {part: str(tmp_path / part) for part in ("first", "second")}
    return dict(type="vssl.datasets.UnlabeledMixture", roots=roots, shares=dict(first=1.0, second=1.0), size=SIZE)


FIXED = """
from torch.optim import AdamW
from vssl.datasets import UnlabeledImages
from vssl.designers import Identity
from vssl.learner import TimmBackbone
from vssl.objectives import SimCLR
from vssl.views import MultiCrop

backbone = dict(
    type=TimmBackbone, name="vit_tiny_patch16_224", img_size=32, patch_size=8, embed_dim=32, depth=3, num_heads=2,
    aligned_blocks=2,
)
objective = dict(type=SimCLR, pool="patch", hidden_dim=32, out_dim=16)
recipe = dict(type=MultiCrop, global_size=32, n_global=2)
designer = dict(type=Identity)
optimizer = dict(type=AdamW, lr=1e-3, weight_decay=0.04)
schedule = dict(warmup_share=0.2, final_ratio=0.1)
clip_grad = 1.0
unlabeled = dict(type=UnlabeledImages, root="ROOT/imagenet/train", size=32)
batch_size = 8
budget = dict(steps=6)
log_interval = 2
checkpoint_interval = 2
rankme_interval = 2
threads = 1
"""

DESIGNED = """
from vssl.datasets import DepthImages, SegmentationImages, joint_transform
from vssl.designers import UNetMask
from vssl.feedback import Depth, Feedback, Pool, Segmentation
from vssl.value import Cosine, GradientAverage, UnitNorm, central_difference

designer = dict(type=UNetMask, width=4)
designer_optimizer = dict(type=AdamW, lr=1e-2, weight_decay=0.0)
crop = dict(type=joint_transform, size=32)
seg_images = dict(type=SegmentationImages, root="ROOT/ade20k", split="training", transform=crop)
depth_images = dict(type=DepthImages, root="ROOT/nyuv2", split="train", transform=crop)
feedback = dict(
    type=Feedback,
    tasks=dict(segmentation=dict(type=Segmentation, num_classes=3), depth=dict(type=Depth)),
    pools=dict(
        segmentation=dict(type=Pool, dataset=seg_images, train=10, meta=6, batch_size=4, meta_batch_size=4),
        depth=dict(type=Pool, dataset=depth_images, train=10, meta=6, batch_size=4, meta_batch_size=4),
    ),
    first_head_steps=3,
)
del crop, seg_images, depth_images
value = dict(
    rule=dict(type=Cosine),
    combine=dict(type=UnitNorm, weights=dict(segmentation=1.0, depth=1.0)),
    average_g_down=dict(type=GradientAverage, momentum=0.5),
    estimator=dict(type=central_difference),
    period=2,
    batch_size=8,
)
"""


def _config(text, miniature, path):
    path.write_text(text.replace("ROOT", str(miniature)))
    return load_config(path)


@pytest.fixture
def fixed_config(miniature, tmp_path):
    """The fixed-recipe baseline: SimCLR, 6 steps."""
    return _config(FIXED, miniature, tmp_path / "fixed.py")


@pytest.fixture
def designed_config(miniature, tmp_path):
    """The same run with a U-Net mask designed by segmentation and depth feedback, a meta step every 2 steps."""
    return _config(FIXED + DESIGNED, miniature, tmp_path / "designed.py")
