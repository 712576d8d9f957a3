"""Every training config on scenes builds and takes two real steps, on a few rendered scenes."""

import json
from pathlib import Path

import pytest
from mmengine.config import Config

from vssl.comparison import read_comparison
from vssl.datasets.scenes import SPLITS, write_scenes
from vssl.engine import load_config, train
from vssl.engine.config import check_training_config
from vssl.sweep import read_sweep

ROOT = Path(__file__).parents[1]
# comparisons
NOT_TRAINING = {
    "ablations",
    "continue_dino",
    "continue_mae",
    "continue_simclr",
    "demo",
    "landscape",
    "landscape_dino",
    "landscape_mae",
    "landscape_worlds",
    "objectives",
    "one_step",
    "selection",
    "selection_sources",
    "targets",
    "verdict",
    "verdict_mae",
    "verdict_sources",
    "verdict_steering",
    "worlds",
    "worlds_colours",
    "worlds_rooms",
    "verdict_long",
}
SWEEPS = {"sweep_mae"}
CONFIGS = sorted(
    path.stem
    for path in (ROOT / "configs/scenes").glob("*.py")
    if path.stem not in NOT_TRAINING | SWEEPS and path.stem[0] != "_"
)


@pytest.fixture(scope="session")
def few_scenes(tmp_path_factory):
    out = tmp_path_factory.mktemp("scenes")
    write_scenes(out, size=64, counts=dict.fromkeys(SPLITS, 18), workers=1)
    return out


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(NOT_TRAINING))
def test_a_comparison_is_read_and_every_arm_of_it_is_a_config(name):
    comparison = read_comparison(Config.fromfile(ROOT / "configs/scenes" / f"{name}.py").to_dict())
    for arm in comparison.arms.values():
        check_training_config(load_config(ROOT / arm.config, arm.cfg_options))


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(SWEEPS))
def test_a_sweep_is_read_and_both_ends_of_every_range_are_a_config(name):
    sweep = read_sweep(Config.fromfile(ROOT / "configs/scenes" / f"{name}.py").to_dict())
    sweep.configs().check_ends()


@pytest.mark.slow
@pytest.mark.parametrize("name", CONFIGS)
def test_config_takes_two_steps(name, few_scenes, tmp_path):
    options = {"budget": dict(steps=2), "batch_size": 4, "threads": 1}
    config, images = load_config(ROOT / "configs/scenes" / f"{name}.py", options), str(few_scenes / "imagenet/train")
    if "roots" in config.unlabeled:
        config.unlabeled.roots = dict.fromkeys(config.unlabeled.roots, images)
    else:
        config.unlabeled.root = images
    if config.get("feedback"):
        config["value"].update(batch_size=4, period=1, burn_in=0)
        if config["value"].get("horizon"):
            config["value"].update(horizon=2, burn_in=1)  # the backbone moves from the second step on
        config.feedback.first_head_steps = 1
        for task, layout in (("segmentation", "ade20k"), ("depth", "nyuv2")):
            pool = config.feedback.pools[task]
            pool.update(train=10, meta=8, batch_size=4, meta_batch_size=4)
            pool.dataset.root = str(few_scenes / layout)
    run = train(config, tmp_path / "run")
    assert json.loads((run / "run.json").read_text())["steps"] == 2
    last = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
    assert ("value" in last) == bool(config.get("feedback"))
