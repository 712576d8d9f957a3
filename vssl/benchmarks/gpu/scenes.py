"""configs/scenes224 in short: scenes rendered here, resume bit for bit, three runs, and the probes of each."""

import json
import os
import tempfile
from argparse import Namespace
from contextlib import suppress
from functools import partial
from pathlib import Path
from statistics import median

import torch
from mmengine.config import Config
from safetensors.torch import load_file

from vssl.benchmarks.gpu.session import Section
from vssl.config_files import CONFIGS, read_config
from vssl.datasets.scenes import write_scenes
from vssl.engine import load_config, train
from vssl.engine.training import build_runner
from vssl.probes.run import run_probes

RUNS = {"fixed": "simclr_fixed", "policy": "simclr_policy", "U-Net": "simclr_unet"}
COUNTS = ("imagenet_train", "imagenet_val", "ade_train", "ade_val", "nyu_train", "nyu_val")
TRAIN = COUNTS[::2]  # as many as the feedback pools take


class _Cut(Exception):
    """Ends a run between two steps, as a machine that goes away does."""


def run(arguments: Namespace, section: Section) -> None:
    back = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)  # configs name their data relative to here
        try:
            _render(arguments)
            section.attempt("resume", {"run": "policy"}, partial(_resume, arguments))
            runs = {"fixed": RUNS["fixed"]} if arguments.tiny else RUNS
            for number, (name, config) in enumerate(runs.items()):
                seconds = 0.4 * section.left / (len(runs) - number)
                section.attempt("runs", {"run": name}, partial(_train, arguments, name, config, seconds))
            for name in runs:
                section.attempt("probes", {"run": name}, partial(_probe, arguments, name))
        finally:
            os.chdir(back)


def _render(arguments: Namespace) -> None:
    counts = dict.fromkeys(COUNTS, 12) if arguments.tiny else dict.fromkeys(COUNTS, 96) | dict.fromkeys(TRAIN, 512)
    workers = 1 if arguments.tiny else None
    write_scenes("data/scenes224", size=32 if arguments.tiny else 224, seed=1, counts=counts, workers=workers)


def _config(arguments: Namespace, name: str, budget: dict) -> Config:
    options = {}
    if arguments.tiny:
        options = {
            "backbone.img_size": 32, "backbone.patch_size": 8, "backbone.embed_dim": 32, "backbone.depth": 3,
            "backbone.num_heads": 2, "objective.hidden_dim": 32, "recipe.global_size": 32, "unlabeled.size": 32,
            "batch_size": 8, "num_workers": 0, "compile.backend": arguments.backend,
        }  # fmt: skip
        if name != RUNS["fixed"]:
            for task in ("segmentation", "depth"):
                pool = f"feedback.pools.{task}"
                options |= {f"{pool}.dataset.transform.size": 32, f"{pool}.batch_size": 4, f"{pool}.meta_batch_size": 4}
                options |= {f"{pool}.train": 8, f"{pool}.meta": 4}
            options |= {"value.batch_size": 4, "value.burn_in": 1, "value.period": 2}
    config = load_config(CONFIGS / "scenes224" / f"{name}.py", options)
    config.device, config.budget = arguments.device.type, budget
    return config


def _resume(arguments: Namespace) -> dict:
    """A run cut after its checkpoint at step 6 and resumed, against the same run in one go: every weight."""
    config = _config(arguments, RUNS["policy"], dict(steps=10))
    config.checkpoint_interval = 6
    train(config, "whole", seed=0)
    runner = build_runner(config, Path("cut"), seed=0)
    loop = runner.train_loop
    step = loop.run_iter

    def until_cut(progress: float) -> None:
        if loop.step == 8:
            raise _Cut
        step(progress)

    loop.run_iter = until_cut
    with suppress(_Cut):
        runner.train()
    train(config, "cut", seed=0, resume=True)
    whole, cut = (load_file(Path(run) / "backbone.safetensors") for run in ("whole", "cut"))
    difference = max(float((whole[key].float() - cut[key].float()).abs().max()) for key in whole)
    if not all(torch.equal(whole[key], cut[key]) for key in whole):
        raise ArithmeticError(f"a resumed run's weights differ by up to {difference:.3g}")
    return {"steps": 10, "cut_at": 8, "largest_difference": difference}


def _train(arguments: Namespace, name: str, config: str, seconds: float) -> dict:
    """Shares are medians over log lines, of the seconds that the phases took."""
    budget = dict(steps=4) if arguments.tiny else dict(seconds=seconds)
    made = _config(arguments, config, budget)
    made.log_interval = 2 if arguments.tiny else 5
    train(made, f"runs/{name}", seed=0)
    lines = [json.loads(line) for line in Path(f"runs/{name}/metrics.jsonl").read_text().splitlines()]
    row = {"steps": lines[-1]["step"], "loss": lines[-1]["loss"]}
    row["images_per_second"] = median(line["images_per_second"] for line in lines)
    row["peak_memory_mb"] = max(line["peak_memory_mb"] for line in lines)
    phases = sorted({key for line in lines for key in line if key.startswith("time/")})
    totals = {key: sum(line.get(key, 0.0) for line in lines) for key in phases}
    whole = sum(totals.values()) or 1.0
    return row | {key.replace("time/", "percent_"): 100 * value / whole for key, value in totals.items()}


def _probe(arguments: Namespace, name: str) -> dict:
    config = read_config(CONFIGS / "probes" / "scenes224.py")
    config.device = arguments.device.type
    if arguments.tiny:
        config.merge_from_dict({"probes.knn.size": 32, "probes.knn.k": [1]})
    results = run_probes(f"runs/{name}/backbone.safetensors", config, only=["knn"] if arguments.tiny else None)
    return {"scores": _scores(results)}


def _scores(results: list[dict]) -> str:
    return ", ".join(f"{r['name']} {metric} {score:.4g}" for r in results for metric, score in r["scores"].items())
