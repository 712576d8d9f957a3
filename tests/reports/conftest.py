"""A comparison's folder as runs leave it, with known scores, for every test of the reports."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

SEEDS = [0, 1, 2]
ARMS = {
    "fixed": {"label": "fixed recipe", "config": "configs/fixed.py", "cfg_options": {}, "budget": {"seconds": 60}},
    "vpretraining": {
        "label": "V-Pretraining", "config": "configs/vp.py", "cfg_options": {}, "budget": {"seconds": 60},
    },
    "fixed_steps": {
        "label": "fixed, step-matched", "config": "configs/fixed.py", "cfg_options": {},
        "budget": {"steps_of": "vpretraining"},
    },
    "random_feedback": {
        "label": "random feedback", "config": "configs/vp.py",
        "cfg_options": {"feedback.control": "random"}, "budget": {"seconds": 60},
    },
}  # fmt: skip
MIOU = {
    "start": [40.0, 40.2, 39.8],
    "fixed": [41.0, 42.0, 43.0],
    "vpretraining": [42.1, 42.9, 44.0],
    "fixed_steps": [40.5, 41.5, 42.0],
    "random_feedback": [41.2, 41.9, 42.8],
}
RMSE = {
    "start": [0.60, 0.61, 0.60],
    "fixed": [0.58, 0.59, 0.57],
    "vpretraining": [0.55, 0.561, 0.54],
    "fixed_steps": [0.59, 0.585, 0.58],
    "random_feedback": [0.58, 0.60, 0.575],
}
STEPS = {"fixed": 240, "vpretraining": 200, "fixed_steps": 200, "random_feedback": 205}
CLASSES = ["wall", "floor", "box", "sphere", "lamp"]


def probe_results(miou: float, rmse: float, seed: int) -> dict[str, dict]:
    card = {"data": "rendered scenes, 96 px", "steps": 500, "head": "BN + 1×1", "seed": seed}
    segmentation = {
        "task": "segmentation", "backbone": "backbone.safetensors", "scores": {"mIoU": miou, "aAcc": miou + 30},
        "per_class": {name: miou + index for index, name in enumerate(CLASSES)}, "card": card, "seconds": 8.5,
    }  # fmt: skip
    depth = {
        "task": "depth", "backbone": "backbone.safetensors", "card": {**card, "head": "BN + 1×1 → softplus"},
        "scores": {"RMSE": rmse, "RMSE_pooled": rmse + 0.03, "AbsRel": 0.2, "delta1": 0.7}, "seconds": 7.0,
    }  # fmt: skip
    return {"segmentation": segmentation, "depth": depth}


def write_probes(run_dir: Path, miou: float, rmse: float, seed: int) -> None:
    folder = run_dir / "probes"
    folder.mkdir(parents=True, exist_ok=True)
    for name, result in probe_results(miou, rmse, seed).items():
        (folder / f"{name}.json").write_text(json.dumps(result))
    write_predictions(folder / "predictions.npz", miou, rmse)


def write_predictions(path: Path, miou: float, rmse: float) -> None:
    rows, columns = np.mgrid[:48, :48]
    label = (rows // 16 + columns // 24).astype(np.uint8)
    label[:4, :4] = 255
    depth = (1 + rows / 16).astype(np.float32)
    depth[:, :3] = 0
    image = np.stack([rows * 5, columns * 5, rows + columns], axis=-1).astype(np.uint8)
    flip = np.random.default_rng(int(10 * miou)).random(label.shape) > miou / 100
    guess = np.where(flip, (label + 1) % 5, label).astype(np.uint8)
    arrays = {"image": image, "seg_label": label, "seg_pred": guess}
    arrays |= {"depth_image": image, "depth_label": depth, "depth_pred": depth + rmse}
    np.savez(path, classes=np.array(CLASSES), **{name: np.stack([value] * 3) for name, value in arrays.items()})


def log_rows(arm: str, seed: int, steps: int, seconds: float) -> list[dict]:
    rows = []
    for step in range(20, steps + 1, 20):
        share = step / steps
        phases = {"data": 0.01, "augment": 0.04, "learner": 0.19}
        row = {"step": step, "seconds": seconds * share, "loss": 4 * math.exp(-share) + 0.05 * seed, "lr": 1e-4}
        row |= {"images_per_second": 64 * steps / seconds, "peak_memory_mb": 900.0, "rankme": 20 + 5 * share + seed}
        if arm in ("vpretraining", "random_feedback"):
            phases |= {"feedback": 0.03, "designer": 0.025}
            row |= {"value": 0.02 * share + 0.01 * seed, "cosine": 0.05 * share - 0.01 * seed, "mask/mean": 0.6}
            row |= {"feedback_loss/segmentation": 2 - share, "feedback_loss/depth": 0.6 - 0.1 * share}
        rows.append(row | {f"time/{phase}": spent for phase, spent in phases.items()})
    return rows


def write_views(path: Path, masked: bool) -> None:
    rows, columns = np.mgrid[:32, :32]
    base = np.broadcast_to(np.stack([rows * 8, columns * 8, rows * 4], axis=-1).astype(np.uint8), (2, 4, 32, 32, 3))
    if not masked:
        np.savez(path, base=base, designed=base, steps=200)
        return
    mask = np.broadcast_to(((columns > 12) * 0.7 + 0.15).astype(np.float16), (2, 4, 32, 32))
    designed = (base * mask[..., None].astype(np.float32)).astype(np.uint8)
    np.savez(path, base=base, designed=designed, mask=mask, steps=200)


def write_run(run_dir: Path, arm: str, seed: int, finished: bool = True) -> None:
    run_dir.mkdir(parents=True, exist_ok=True)
    steps, seconds = STEPS[arm] + seed, 60.0 + 0.1 * seed if arm != "fixed_steps" else 50.0
    info = {
        "arm": arm, "seed": seed, "objective": "SimCLR", "designer": "Identity", "steps": steps, "seconds": seconds,
        "finished": finished, "budget": ARMS[arm]["budget"], "vssl_version": "0.1.0",
    }  # fmt: skip
    (run_dir / "run.json").write_text(json.dumps(info))
    rows = log_rows(arm, seed, STEPS[arm], seconds)
    (run_dir / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings = {"objective.type": "vssl.objectives.SimCLR", "optimizer.lr": 1e-4, "designer.type": f"Designer of {arm}"}
    settings |= {f"budget.{key}": value for key, value in ARMS[arm]["budget"].items()}
    origin = {"arm": arm, "settings": settings, "start_sha256": "ab" * 32, "environment": {"machine": "one machine"}}
    (run_dir / "origin.json").write_text(json.dumps(origin))
    write_views(run_dir / "views.npz", masked=arm != "fixed" and arm != "fixed_steps")


@pytest.fixture
def layout() -> dict:
    return {
        "title": "A comparison", "command": "python tools/compare.py configs/a.py --work-dir 'my runs'",
        "baseline": "fixed", "candidate": "vpretraining", "correction": None, "seeds": SEEDS,
        "arms": {name: dict(about) for name, about in ARMS.items()},
        "start": {"label": "start checkpoint", "probe_seeds": SEEDS, "source": "start.safetensors"},
    }  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four arms and the start checkpoint, three seeds each, everything there."""
    for index, seed in enumerate(SEEDS):
        write_probes(tmp_path / "start" / f"seed{seed}", MIOU["start"][index], RMSE["start"][index], seed)
        for arm in ARMS:
            run_dir = tmp_path / arm / f"seed{seed}"
            write_run(run_dir, arm, seed)
            write_probes(run_dir, MIOU[arm][index], RMSE[arm][index], seed)
    return tmp_path


@pytest.fixture
def environment() -> dict:
    return {"machine": "one machine", "versions": {"torch": "2.15.0"}, "threads": 2, "date": "2026-01-01 00:00 UTC"}
