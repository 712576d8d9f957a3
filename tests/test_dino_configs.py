"""The paper rows: their numbers, and two real steps of each on miniature data.

The backbone is shrunk by the override that configs/_base_/dino_continued.py documents. Sizes of crops and images,
losses, precision, designers and estimators are the rows' own; batches and pools are as small as the data.
"""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vssl.engine import load_config, train
from vssl.engine.config import build
from vssl.engine.optimizer import parameter_groups
from vssl.learner.learner import Learner

ROOT = Path(__file__).parents[1]
CONFIGS = sorted(path.stem for path in (ROOT / "configs/dino").glob("vit*.py"))  # beside a reader's own
COLUMNS = ("lr", "batch", "r", "meta", "K", "designer", "designer_lr", "κ", "λ_spars", "λ_tv", "α_seg", "α_dep")
TABLE = {  # arXiv 2601.22108
    "vitb_ade20k": (4.15e-6, 256, 4, 32, 2, "UNetMask", 1.54e-4, 0.6, 0.131, 0.144, 1, 8),
    "vitl_ade20k": (4.50e-5, 50, 4, 16, 4, "UNetMask", 2.17e-4, 0.5, 0.196, 0.0399, 4, 1),
    "vitb_nyuv2": (8.58e-6, 256, 8, 64, 3, "DiTMask", 2.21e-4, 0.4, 0.111, 0.0417, 16, 2),
    "vitl_nyuv2": (1.94e-6, 50, 2, 32, 4, "UNetMask", 8.03e-4, 0.4, 0.401, 0.159, 32, 16),
}


def documented_override() -> dict:
    text = (ROOT / "configs/_base_/dino_continued.py").read_text()
    line = re.search(r"--cfg-options (backbone.*)", text).group(1)
    return {key: json.loads(value.lower()) for key, value in (word.split("=") for word in line.split())}


@pytest.fixture(scope="module")
def miniature(tmp_path_factory):
    root, rng = tmp_path_factory.mktemp("miniature"), np.random.default_rng(0)
    for folder in ("imagenet/train/a", "ade20k/images/training", "nyuv2/images/train"):
        (root / folder).mkdir(parents=True)
        for i in range(6):
            picture = rng.integers(0, 256, (60, 80, 3), dtype=np.uint8)
            Image.fromarray(picture).save(root / folder / f"{i}.jpg")
            if folder == "imagenet/train/a":
                continue
            labels = root / folder.replace("images", "annotations")
            labels.mkdir(parents=True, exist_ok=True)
            value = rng.integers(0, 151, (60, 80)) if "ade" in folder else rng.integers(500, 9000, (60, 80))
            Image.fromarray(value.astype(np.uint8 if "ade" in folder else np.uint16)).save(labels / f"{i}.png")
    return root


def test_every_row_has_its_twin():
    assert sorted([*TABLE, *(f"{name}_fixed" for name in TABLE)]) == CONFIGS


@pytest.mark.parametrize("name", TABLE)
def test_rows_are_those_of_the_settings_table(name):
    config = load_config(ROOT / f"configs/dino/{name}.py")
    fixed = load_config(ROOT / f"configs/dino/{name}_fixed.py")
    weights = config["value"].combine.weights
    found = (
        config.optimizer.lr, config.batch_size, config["value"].period, config["value"].batch_size,
        config.backbone.aligned_blocks, config.designer.type.__name__, config.designer_optimizer.lr,
        config.designer.keep_ratio, config.designer.sparsity, config.designer.smoothness,
        weights.segmentation, weights.depth,
    )  # fmt: skip
    assert dict(zip(COLUMNS, found, strict=True)) == dict(zip(COLUMNS, TABLE[name], strict=True))
    size = {"vitb": "base", "vitl": "large"}[name[:4]]
    assert config.backbone.name == f"vit_{size}_patch16_dinov3" and config.backbone.pretrained
    pools = config.feedback.pools
    assert [(p.train, p.meta) for p in (pools.segmentation, pools.depth)] == [(2000, 512), (512, 128)]
    shared = (
        "backbone",
        "recipe",
        "optimizer",
        "schedule",
        "clip_grad",
        "batch_size",
        "budget",
        "unlabeled",
        "precision",
    )
    assert {key: config[key] for key in shared} == {key: fixed[key] for key in shared}
    assert fixed.designer.type.__name__ == "Identity" and not fixed.get("feedback")


def test_what_the_paper_leaves_open_is_dinos():
    """facebookresearch/dino, main_dino.py; what differs stands in the header of the base."""
    config = load_config(ROOT / "configs/dino/vitb_ade20k_fixed.py")
    recipe = config.recipe
    assert (recipe.interpolation, recipe.redraw) == ("bicubic", True)
    assert dict(recipe.jitter) == dict(brightness=0.4, contrast=0.4, saturation=0.2, hue=0.1, p=0.8)
    assert (recipe.grayscale, recipe.blur.p, recipe.blur.sigma) == (0.2, (1.0, 0.1, 0.5), (0.1, 2.0))
    assert recipe.solarize.p == (0.0, 0.2, 0.0)
    assert config.objective.freeze_last_layer_steps == 1_281_167 // 1024  # the first epoch, drop_last
    backbone = build(config.backbone | dict(pretrained=False, **documented_override_sizes()))
    groups = parameter_groups(
        Learner(backbone, build(config.objective, backbone)), config.optimizer, config.decay_tokens
    )
    decayed = {id(p) for group in groups if group["weight_decay"] == 0.04 for p in group["params"]}
    names = {n for n, p in backbone.named_parameters() if id(p) in decayed}
    assert {n for n, p in backbone.named_parameters() if p.ndim > 1} == names and "vit.cls_token" in names


def documented_override_sizes() -> dict:
    return {key.split(".")[1]: value for key, value in documented_override().items() if "pretrained" not in key}


@pytest.mark.slow
@pytest.mark.parametrize("name", CONFIGS)
def test_config_takes_two_steps(name, miniature, tmp_path):
    options = documented_override()
    assert {key.split(".")[0] for key in options} == {"backbone"}
    options |= {"unlabeled.root": str(miniature / "imagenet/train"), "budget": dict(steps=2), "batch_size": 2}
    options |= {"num_workers": 0, "threads": 1, "device": "cpu"}
    config = load_config(ROOT / f"configs/dino/{name}.py", options)
    if config.get("feedback"):
        config["value"].update(batch_size=2, period=1)
        config.feedback.first_head_steps = 1
        for task, layout in (("segmentation", "ade20k"), ("depth", "nyuv2")):
            pool = config.feedback.pools[task]
            pool.update(train=3, meta=3, batch_size=2, meta_batch_size=2)
            pool.dataset.root = str(miniature / layout)
    run = train(config, tmp_path / "run")
    assert json.loads((run / "run.json").read_text())["steps"] == 2
    last = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
    assert ("value" in last) == (not name.endswith("_fixed")) and np.isfinite(last["loss"])
