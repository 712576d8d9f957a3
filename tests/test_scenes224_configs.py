"""The study at 224 px: two real steps of every training config, every arm of its comparisons, and its probes.

The backbone is shrunk and the blocks traced without inductor by the override that configs/_base_/scenes224.py
documents. Sizes of images, crops and masks, losses, precision, designers and estimators are the configs' own; batches
and pools are as small as the data.
"""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config

from vssl.comparison import read_comparison
from vssl.datasets.scenes import SPLITS, write_scenes
from vssl.engine import load_config, train
from vssl.engine.config import check_training_config
from vssl.learner import load_backbone
from vssl.probes.run import run_probes

ROOT = Path(__file__).parents[1]
COMPARISONS = ("landscape", "verdict")
CONFIGS = sorted(p.stem for p in (ROOT / "configs/scenes224").glob("*.py") if p.stem not in COMPARISONS)


def documented_override() -> dict:
    text = (ROOT / "configs/_base_/scenes224.py").read_text()
    line = re.search(r"--cfg-options (backbone.*)", text).group(1)
    pairs = (word.split("=") for word in line.split())
    return {key: int(value) if value.isdigit() else value for key, value in pairs}


@pytest.fixture(scope="module")
def few_scenes(tmp_path_factory):
    out = tmp_path_factory.mktemp("scenes224")
    write_scenes(out, size=224, counts=dict.fromkeys(SPLITS, 14), workers=1)
    return out


def miniature(name: str, data: Path) -> Config:
    options = {"unlabeled.root": str(data / "imagenet/train"), "budget": dict(steps=2), "batch_size": 4, "threads": 1}
    config = load_config(ROOT / f"configs/scenes224/{name}.py", documented_override() | options | {"device": "cpu"})
    if config.get("feedback"):
        config["value"].update(batch_size=4, period=1, burn_in=0)
        for task, layout in (("segmentation", "ade20k"), ("depth", "nyuv2")):
            pool = config.feedback.pools[task]
            pool.update(train=8, meta=6, batch_size=4, meta_batch_size=4)
            pool.dataset.root = str(data / layout)
    return config


@pytest.mark.slow
@pytest.mark.parametrize("name", CONFIGS)
def test_config_takes_two_steps(name, few_scenes, tmp_path):
    config = miniature(name, few_scenes)
    assert config.precision == "bf16" and config["compile"]["backend"] == "aot_eager"
    run = train(config, tmp_path / "run")
    assert json.loads((run / "run.json").read_text())["steps"] == 2
    last = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
    assert ("value" in last) == bool(config.get("feedback")) and np.isfinite(last["loss"])
    card = load_backbone(run / "backbone.safetensors")
    assert (card.name, card.patch_size) == ("vit_small_patch16_224", 16)


@pytest.mark.slow
@pytest.mark.parametrize("name", COMPARISONS)
def test_every_arm_of_the_32_px_study_is_there_at_224_px(name, monkeypatch):
    monkeypatch.chdir(ROOT)
    small, large = (
        read_comparison(Config.fromfile(f"configs/{folder}/{name}.py").to_dict()) for folder in ("scenes", "scenes224")
    )
    assert list(small.arms) == list(large.arms) and large.seeds == [0, 1, 2]
    for arm in large.arms.values():
        config = load_config(arm.config, arm.cfg_options)
        check_training_config(config)
        twin = load_config(small.arms[arm.name].config, small.arms[arm.name].cfg_options)
        assert config.recipe.global_size == 224 and config.backbone.name == "vit_small_patch16_224"
        assert config.unlabeled.root == "data/scenes224/imagenet/train"
        assert {**config.recipe, "global_size": 32, "blur": None} == {**twin.recipe, "blur": None}
        assert config.recipe.blur.p == twin.recipe.blur.p and config.designer == twin.designer
        assert bool(config.get("feedback")) == bool(twin.get("feedback"))
        if config.get("feedback"):
            assert config.feedback.get("control") == twin.feedback.get("control")
            roots = {pool.dataset.root for pool in config.feedback.pools.values()}
            assert roots == {"data/scenes224/ade20k", "data/scenes224/nyuv2"}
    assert load_config(large.start.config).objective.type.__name__ == "SimCLR"


@pytest.mark.slow
def test_the_probes_score_a_backbone(few_scenes, tmp_path):
    run = train(miniature("simclr_start", few_scenes), tmp_path / "run")
    probes = Config.fromfile(ROOT / "configs/probes/scenes224.py")["probes"]
    for task, layout in (("segmentation", "ade20k"), ("depth", "nyuv2")):
        for split in ("train", "val"):
            assert probes[task][split].pop("data_root") == f"data/scenes224/{layout}"
            probes[task][split]["data_root"] = str(few_scenes / layout)
    for task in ("classification", "knn"):
        roots = {split: str(few_scenes / f"imagenet/{split}") for split in ("train", "val")}
        probes[task].update(roots, data_root=str(few_scenes))
    probes["knn"]["k"] = [5]
    results = run_probes(load_backbone(run / "backbone.safetensors"), {"probes": probes}, seed=0)
    assert sorted(result["name"] for result in results) == sorted(probes)
    assert all(np.isfinite(list(result["scores"].values())).all() for result in results)
