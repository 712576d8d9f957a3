"""A sweep of tiny runs on a few rendered scenes, by the real engine, probes and Optuna."""

from dataclasses import replace
from pathlib import Path

import pytest

from vssl.commands.sweep import parser
from vssl.comparison import Workers, default_workers
from vssl.datasets.scenes import SPLITS, write_scenes
from vssl.sweep.command import run_command

TRAINING = """
from mmengine.config import read_base

with read_base():
    from vssl.configs.scenes.mae_start import *

unlabeled.update(root="SCENES/imagenet/train")
backbone.update(embed_dim=16, depth=2, aligned_blocks=2)
objective.update(decoder_dim=16, decoder_heads=2)
optimizer.update(lr=1e-2)
batch_size, threads, budget, checkpoint_interval = 8, 1, dict(steps=8), 3
log_interval, rankme_interval, sample_views, snapshots, collapse = 1, 0, 0, 0, "off"
"""

PROBES = """
from mmengine.config import read_base

with read_base():
    from vssl.configs.probes.scenes import *

for name, layout in (("segmentation", "ade20k"), ("depth", "nyuv2")):
    probes[name]["schedule"] = dict(type=FullBatch, iterations=10, l2=1e-4)
    for split in ("train", "val"):
        probes[name][split].update(data_root=f"SCENES/{layout}")
del probes["classification"], probes["knn"], name, split, layout
"""

SWEEP = {
    "start": {"config": "training.py"},
    "trial": {
        "config": "training.py",
        "cfg_options": {"recipe.jitter": {"brightness": 0.0, "contrast": 0.0}},
        "continues": "run",
    },
    "budget": {"baseline_steps": 8, "clock": "processor"},
    "probes": "probes.py",
    "scores": "segmentation/mIoU",
    "space": {
        "objective.mask_ratio": {"low": 0.3, "high": 0.8},
        "optimizer.lr": {"low": 1e-3, "high": 1e-1, "log": True},
        "recipe.global_scale.0": {"low": 0.1, "high": 1.0},
        "recipe.jitter.brightness": {"low": 0.0, "high": 0.4},
        "recipe.interpolation": {"options": ["bilinear", "bicubic"]},
    },
    "sampler": "random",
    "trials": 3,
    "work_dir": "runs",
}


@pytest.fixture(scope="session")
def scenes(tmp_path_factory):
    out = tmp_path_factory.mktemp("scenes")
    write_scenes(out, size=32, counts=dict.fromkeys(SPLITS, 16), workers=1)
    return out


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working directory; its training and probe configs name a folder of scenes that need not be there."""
    monkeypatch.chdir(tmp_path)
    Path("training.py").write_text(TRAINING.replace("SCENES", "scenes"))
    Path("probes.py").write_text(PROBES.replace("SCENES", "scenes"))
    return tmp_path


@pytest.fixture
def written() -> dict:
    """A sweep's config, as its file says it."""
    return dict(SWEEP)


@pytest.fixture
def with_scenes(folder, scenes):
    (folder / "scenes").symlink_to(scenes)
    return folder


@pytest.fixture(scope="session")
def timing_workers() -> Workers:
    """The real ones."""
    return default_workers()


@pytest.fixture(scope="session")
def workers(timing_workers) -> Workers:
    """The real ones, to whom every step costs the same."""
    return replace(timing_workers, compare_cost=equal_cost)


def equal_cost(arm, baseline, baseline_steps, clock, seed, steps=None) -> dict:
    return {"steps": steps or baseline_steps, "cost": 1.0, "kinds": {}, "baseline_seconds": 1.0}


@pytest.fixture
def sweep(workers):
    """tools/sweep.py on `SWEEP` with some keys changed; errors are raised."""

    def run(*arguments: str, instead: Workers | None = None, **changed) -> Path:
        config = {**SWEEP, **changed}
        text = "\n".join(f"{key} = {value!r}" for key, value in config.items()) + "\n"
        file = Path("sweep.py")
        if not file.exists() or file.read_text() != text:  # other processes may be reading it
            file.write_text(text)
        options = parser().parse_args(["sweep.py", *arguments])
        run_command(options, "python tools/sweep.py sweep.py", instead or workers)
        return Path(options.work_dir or config["work_dir"])

    return run
