import json
from pathlib import Path

import pytest
import torch

from vssl.commands.benchmark import main
from vssl.datasets.scenes import SPLITS, write_scenes


@pytest.fixture
def benchmark(monkeypatch, tmp_path):
    """Runs ``tools/benchmark.py`` and returns what it wrote to --out (``out``: a name to which it adds .json)."""

    def run(*arguments: str, out: Path = tmp_path / "out.json") -> dict:
        monkeypatch.setattr(torch, "set_num_threads", lambda n: None)  # leave other tests their threads
        assert main([*arguments, "--out", str(out)]) == 0
        return json.loads(out.with_suffix(".json").read_text())

    return run


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """Options of a config of scenes that point it at 18 images a split."""
    out = tmp_path_factory.mktemp("scenes")
    write_scenes(out, size=48, counts=dict.fromkeys(SPLITS, 18), workers=1)
    return (
        f"unlabeled.root={out}/imagenet/train",
        f"feedback.pools.segmentation.dataset.root={out}/ade20k",
        f"feedback.pools.depth.dataset.root={out}/nyuv2",
    )
