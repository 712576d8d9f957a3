"""Every config for photographs: two real steps of each training config, every arm, and the probes, on tiny images."""

import json
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image

from vssl.comparison import read_comparison
from vssl.engine import load_config, train
from vssl.engine.config import check_training_config
from vssl.learner import load_backbone
from vssl.probes.run import build_probes, run_probes

ROOT = Path(__file__).parents[1]
NAMES = sorted(path.stem for path in (ROOT / "configs/photos").glob("*.py"))
COMPARISONS = [name for name in NAMES if name.startswith(("landscape", "selection", "verdict"))]
SEGMENTATION = ("nyuv2_seg13", "nyuv2_seg", "camvid")
CLASSES = [f"class{k}" for k in range(13)]


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    """What docs/photos.md lays out below data/photos, a few images of noise each."""
    root, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)

    def save(name: str, array: np.ndarray) -> None:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(array).save(root / name)

    for seg, depth, count in (("training", "train", 14), ("validation", "test", 3)):
        for k in range(count):
            image = rng.integers(0, 256, (72, 96, 3), dtype=np.uint8)
            labels = rng.integers(0, 14, (72, 96)).astype(np.uint8)
            for folder in SEGMENTATION:
                save(f"{folder}/images/{seg}/{k:04d}.jpg", image)
                save(f"{folder}/annotations/{seg}/{k:04d}.png", labels)
            for folder in ("nyuv2", "kitchen"):
                save(f"{folder}/images/{depth}/{k:04d}.jpg", image)
                save(f"{folder}/annotations/{depth}/{k:04d}.png", rng.integers(500, 9000, (72, 96)).astype(np.uint16))
            for wnid in ("n01", "n02"):
                save(f"tiny_imagenet/{'train' if k % 2 else 'val'}/{wnid}/{seg}{k}.jpg", image[:64, :64])
    for folder in SEGMENTATION:
        (root / folder / "dataset.json").write_text(json.dumps({"name": folder, "classes": CLASSES}))
    (root / "stream").mkdir()
    (root / "stream/tiny_imagenet").symlink_to(root / "tiny_imagenet/train")
    (root / "stream/nyuv2").symlink_to(root / "nyuv2/images/train")
    return root


@pytest.fixture
def in_place(photos, tmp_path, monkeypatch) -> Path:
    """A working directory with configs and data/photos, as in a clone."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data/photos").symlink_to(photos)
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in NAMES if name not in COMPARISONS])
def test_config_takes_two_steps_on_data_photos(name, in_place):
    config = load_config(f"configs/photos/{name}.py", {"budget": dict(steps=2), "batch_size": 4, "threads": 1})
    if config.get("feedback"):
        config["value"].update(batch_size=4, period=1, burn_in=0)
        if config["value"].get("horizon"):
            config["value"].update(horizon=2, burn_in=1)  # the backbone moves from the second step on
        for pool in config.feedback.pools.values():
            pool.update(train=8, meta=5, batch_size=4, meta_batch_size=4)
    run = train(config, in_place / "run")
    assert json.loads((run / "run.json").read_text())["steps"] == 2
    last = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
    assert ("value" in last) == bool(config.get("feedback")) and np.isfinite(last["loss"])
    card = load_backbone(run / "backbone.safetensors")
    assert (card.embed_dim, card.patch_size, card.depth) == (96, 8, 4)
    if name == "mae_start":
        for probes, count in (("photos", 5), ("photos_elsewhere", 2)):
            found = run_probes(run / "backbone.safetensors", probes_of_few_steps(probes))
            assert len(found) == count
            assert all(np.isfinite(list(result["scores"].values())).all() for result in found)


def probes_of_few_steps(name: str) -> Config:
    config = Config.fromfile(f"configs/probes/{name}.py")
    for probe in config.probes.values():
        if "schedule" in probe:
            probe.schedule.iterations = 3
        if "k" in probe:
            probe.k = [5]
    return config


@pytest.mark.slow
@pytest.mark.parametrize("name", COMPARISONS)
def test_a_comparison_is_read_and_every_arm_of_it_is_a_config(name, in_place):
    comparison = read_comparison(Config.fromfile(f"configs/photos/{name}.py").to_dict())
    for arm in comparison.arms.values():
        assert arm.budget["baseline_steps"] > 0
        config = load_config(arm.config, arm.cfg_options)
        check_training_config(config)
        folders = config.unlabeled.get("roots", {"stream": config.unlabeled.get("root")}).values()
        assert all((in_place / folder).is_dir() for folder in folders)
    build_probes(Config.fromfile(comparison.probes) if isinstance(comparison.probes, str) else comparison.probes)


@pytest.mark.slow
def test_settings_are_chosen_within_train_on_images_that_gave_no_feedback():
    probes = Config.fromfile(ROOT / "configs/probes/photos_selection.py").to_dict()["probes"]
    comparison = read_comparison(Config.fromfile(ROOT / "configs/photos/selection.py").to_dict())
    for task, split in (("segmentation", "images/training"), ("depth", "images/train")):
        train_split, val = probes[task]["train"], probes[task]["val"]
        assert train_split["data_prefix"]["img_path"] == val["data_prefix"]["img_path"] == split
        assert sorted([*train_split["indices"], *val["indices"]]) == list(range(795))
        for arm in comparison.arms.values():
            config = load_config(ROOT / arm.config, arm.cfg_options)
            if config.get("feedback"):
                pool = config.feedback.pools[task]
                assert pool.dataset.limit == min(val["indices"]) >= pool.train + pool.meta
