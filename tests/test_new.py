"""`vssl new` writes configs that train and probe on what it found."""

import json

import numpy as np
import pytest
from PIL import Image

from vssl.commands.new import main
from vssl.commands.probe import main as probe
from vssl.commands.train import main as train

SIZE, SMALL = 32, ["backbone.name=vit_tiny_patch16_224", "backbone.pretrained=False", "backbone.img_size=32"]
TINY = ["backbone.patch_size=8", "backbone.embed_dim=32", "backbone.depth=2", "backbone.num_heads=2"]


@pytest.fixture
def data(tmp_path):
    """What `prepare_data.py folder` writes, and unlabeled images beside it."""
    root, rng = tmp_path / "mine data", np.random.default_rng(0)
    for layout, splits in (("ade20k", ("training", "validation")), ("nyuv2", ("train", "test"))):
        for split in splits:
            images, labels = (root / layout / kind / split for kind in ("images", "annotations"))
            images.mkdir(parents=True)
            labels.mkdir(parents=True)
            for k in range(8):
                Image.fromarray(rng.integers(0, 255, (SIZE, SIZE, 3), np.uint8)).save(images / f"{k}.jpg")
                made = rng.integers(0, 4, (SIZE, SIZE))
                value = made.astype(np.uint8) if layout == "ade20k" else (1000 + 500 * made).astype(np.uint16)
                Image.fromarray(value).save(labels / f"{k}.png")
    (root / "unlabeled").mkdir()
    for k in range(12):
        Image.fromarray(rng.integers(0, 255, (SIZE, SIZE, 3), np.uint8)).save(root / "unlabeled" / f"{k}.png")
    (root / "dataset.json").write_text(json.dumps({"name": "mine", "classes": ["wall", "floor", "chair"]}))
    return root


@pytest.mark.slow
def test_the_configs_train_and_probe(data, tmp_path, capsys):
    assert main([str(tmp_path / "mine.py"), "--data", str(data)]) == 0
    said = capsys.readouterr().out
    assert "found: 12 unlabeled, 8 for segmentation, 8 for depth" in said and "vssl probe" in said
    shrink = [*SMALL, *TINY, "budget.steps=2", "batch_size=4", "recipe.global_size=32", "recipe.local_size=16"]
    shrink += ["objective.out_dim=64", "objective.hidden_dim=32", "num_workers=0", "device=cpu", "precision=fp32"]
    feedback = ["value.batch_size=4", "value.period=1", "feedback.first_head_steps=1", "schedule.head_share=0.0"]
    feedback += [f"feedback.pools.{task}.dataset.transform.size=32" for task in ("segmentation", "depth")]
    for part, options in (("", feedback), ("_fixed", [])):
        run = tmp_path / f"run{part}"
        command = [str(tmp_path / f"mine{part}.py"), "--work-dir", str(run), "--cfg-options", *shrink, *options]
        assert train(command) == 0, capsys.readouterr().err
    backbone = str(tmp_path / "run/backbone.safetensors")
    probes = tmp_path / "mine_probes.py"
    probes.write_text(probes.read_text().replace("size = 224", "size = 32").replace("iterations=200", "iterations=2"))
    assert probe([str(probes), "--backbone", backbone]) == 0
    scores = {r["task"]: r["scores"] for r in json.loads((tmp_path / "run/probes/mine_probes.json").read_text())}
    assert 0 <= scores["segmentation"]["mIoU"] <= 100 and scores["depth"]["RMSE"] > 0


@pytest.mark.slow
def test_one_task_will_do(data, tmp_path):
    (data / "nyuv2").rename(data / "else")
    assert main([str(tmp_path / "mine.py"), "--data", str(data)]) == 0
    assert 'feedback.tasks.pop("depth")' in (tmp_path / "mine.py").read_text()
    assert "DepthProbe" not in (tmp_path / "mine_probes.py").read_text()


def test_what_is_missing_is_said_and_nothing_is_written(data, tmp_path, capsys):
    mine = str(tmp_path / "mine.py")
    for arguments, said in [
        ([mine, "--data", str(tmp_path / "nothing"), "--images", str(data / "unlabeled")], "no labeled images"),
        ([mine, "--data", str(data), "--images", str(tmp_path / "nothing")], "give --images DIR"),
        ([mine, "--data", str(data), "--model", "vit_smal_patch16_dinov3"], "close to it: vit_small_patch16_dinov3"),
        ([str(tmp_path / "my-config.py"), "--data", str(data)], "give a name such as mine.py"),
    ]:
        assert main(arguments) == 1
        assert said in capsys.readouterr().err
    (data / "dataset.json").unlink()
    assert main([mine, "--data", str(data)]) == 1
    assert "lists no classes" in capsys.readouterr().err
    assert not list(tmp_path.glob("*.py"))


def test_configs_are_not_replaced_without_being_asked(data, tmp_path, capsys):
    (tmp_path / "mine_fixed.py").write_text("mine = True\n")
    assert main([str(tmp_path / "mine.py"), "--data", str(data)]) == 1
    assert "mine_fixed.py: already there" in capsys.readouterr().err
    assert not (tmp_path / "mine.py").exists()
    assert main([str(tmp_path / "mine.py"), "--data", str(data), "--overwrite"]) == 0
