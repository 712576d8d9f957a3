"""Shared by all tests: one thread (results do not depend on the machine) and a small backbone."""

import copy

import pytest
import torch

from vssl.learner import TimmBackbone

TINY = dict(
    name="vit_tiny_patch16_224", img_size=16, patch_size=4, embed_dim=32, depth=3, num_heads=2, aligned_blocks=2
)


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)
    torch.manual_seed(0)


@pytest.fixture
def trained(tmp_path):
    """(config, name) → the runner of a whole run of a copy of the config, in a folder of this name."""
    from vssl.engine.training import build_runner  # imports mmengine, which most tests do without

    def train(config, name):
        runner = build_runner(copy.deepcopy(config), tmp_path / name, seed=0)
        runner.train()
        return runner

    return train


@pytest.fixture
def backbone() -> TimmBackbone:
    """ViT of width 32 and depth 3 for 16-px images, K = 2."""
    return TimmBackbone(**TINY)
