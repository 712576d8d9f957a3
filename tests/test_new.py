"""`vssl new` writes configs that train and probe on what it found."""

import json

import numpy as np
import pytest
from PIL import Image

from vssl.commands.compare import main as compare
from vssl.commands.new import main
from vssl.commands.probe import main as probe
from vssl.commands.train import main as train
from vssl.comparison import read_comparison
from vssl.config_files import read_config
from vssl.engine import load_config
from vssl.options import read_value

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
    assert main([str(tmp_path / "mine.py"), "--data", str(data), "--device", "cpu"]) == 0
    assert "found: 12 unlabeled, 8 for segmentation, 8 for depth" in capsys.readouterr().out
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
    probes.write_text(probes.read_text().replace("size = 128", "size = 32").replace("iterations=200", "iterations=2"))
    assert probe([str(probes), "--backbone", backbone]) == 0
    scores = {r["task"]: r["scores"] for r in json.loads((tmp_path / "run/probes/mine_probes.json").read_text())}
    assert 0 <= scores["segmentation"]["mIoU"] <= 100 and scores["depth"]["RMSE"] > 0
    study = tmp_path / "mine_compare.py"
    small, of_feedback = (
        {key: read_value(value) for key, _, value in (option.partition("=") for option in options)}
        for options in (shrink, feedback)
    )
    text = study.read_text().replace("baseline_steps=300", "steps=2")
    study.write_text(f"{text}cfg_options, feedback_options = {small}, {of_feedback}\n")
    assert compare([str(study), "--work-dir", str(tmp_path / "study"), "--seeds", "0"]) == 0, capsys.readouterr().err
    told = json.loads((tmp_path / "study/results.json").read_text())
    assert (tmp_path / "study/index.html").is_file() and set(told["arms"]) == {"fixed", "vpretraining"}


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
        ([mine, "--data", str(data), "--model", "resnet50"], "a timm VisionTransformer or Eva (without mixed rotary"),
        (
            [mine, "--data", str(data), "--model", "vit_base_r50_s16_224"],
            "with plain square patches is needed, e.g. vit_",
        ),
        ([str(tmp_path / "my-config.py"), "--data", str(data)], "give a name such as mine.py"),
    ]:
        assert main(arguments) == 1
        assert said in capsys.readouterr().err
    (data / "dataset.json").unlink()
    assert main([mine, "--data", str(data)]) == 1
    assert "lists no classes" in capsys.readouterr().err
    assert not list(tmp_path.glob("*.py"))


@pytest.mark.parametrize(("tool", "words"), [("vssl new", "vssl compare"), ("tools/new.py", "python tools/compare.py")])
def test_the_next_commands_are_those_of_the_user_and_the_comparison_is_whole(
    data, tmp_path, capsys, monkeypatch, tool, words
):
    monkeypatch.setattr("sys.argv", [tool])
    mine = (tmp_path / "mine").as_posix()
    assert main([f"{mine}.py", "--data", str(data), "--model", "vit_small_patch14_dinov2", "--device", "cuda"]) == 0
    assert f"  {words} {mine}_compare.py    #" in capsys.readouterr().out
    headers = [(tmp_path / f"mine{part}.py").read_text() for part in ("", "_fixed", "_probes", "_compare")]
    first = words.replace("compare", "train")
    assert f"Command:  {first} {mine}.py --work-dir runs/mine\n" in headers[0]
    assert all(("python tools/" in header) == (tool != "vssl new") for header in headers)
    comparison = read_comparison(read_config(f"{mine}_compare.py").to_dict())
    assert comparison.start.backbone_of == comparison.baseline == "fixed" and comparison.seeds == [0, 1, 2]
    assert {arm.name: arm.budget for arm in comparison.arms.values()} == {
        name: {"baseline_steps": 2000} for name in ("fixed", "vpretraining")
    }
    assert load_config(f"{mine}.py").recipe.local_size == 98, "DINOv2's patches have 14 px"


def sizes_of(config):
    labeled = {pool.dataset.transform.size for pool in config.feedback.pools.values()}
    assert labeled == {config.recipe.global_size}, "labeled crops are as large as unlabeled ones"
    return config.recipe.global_size, config.recipe.local_size, config.unlabeled["size"]


@pytest.mark.parametrize(
    ("model", "crops", "probe"),
    [("vit_small_patch16_dinov3", (96, 48), 128), ("vit_small_patch14_dinov2", (98, 42), 126)],
)
def test_without_a_gpu_the_configs_are_small_and_say_why(data, tmp_path, capsys, monkeypatch, model, crops, probe):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    mine = tmp_path / "mine.py"
    assert main([str(mine), "--data", str(data), "--model", model]) == 0
    assert "without a GPU (torch found none); --device cuda writes configs for one" in capsys.readouterr().out
    text, config = mine.read_text(), load_config(mine)
    assert "for a machine without a GPU (torch found none)" in text and "--device cuda --overwrite" in text
    assert sizes_of(config) == (*crops, 112)
    assert (config.num_workers, config.precision, config.batch_size, config["value"].batch_size) == (0, "fp32", 12, 12)
    assert config.budget == {"steps": 300} and config.objective.freeze_last_layer_steps == 19
    assert read_config(tmp_path / "mine_probes.py")["size"] == probe
    assert read_comparison(read_config(tmp_path / "mine_compare.py").to_dict()).arms["fixed"].budget == {
        "baseline_steps": 300
    }
    assert load_config(tmp_path / "mine_fixed.py").recipe.global_size == crops[0]


def test_the_device_can_be_named(data, tmp_path, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    mine = tmp_path / "mine.py"
    assert main([str(mine), "--data", str(data), "--device", "cuda"]) == 0
    config = load_config(mine)
    assert sizes_of(config) == (224, 96, 256) and (config.batch_size, config.num_workers) == (12, 8)
    assert "without a GPU" not in mine.read_text() and config.budget == {"steps": 2000}
    assert main([str(mine), "--data", str(data), "--device", "cpu", "--overwrite"]) == 0
    assert "without a GPU (--device cpu)" in mine.read_text()


@pytest.mark.slow
def test_what_was_written_for_a_processor_passes_its_check_as_it_is(data, tmp_path, capsys):
    mine = str(tmp_path / "mine.py")
    assert main([mine, "--data", str(data), "--model", "vit_tiny_patch16_224", "--device", "cpu"]) == 0
    small = ["backbone.pretrained=False", "backbone.depth=2", "backbone.embed_dim=32", "backbone.num_heads=2"]
    small += ["backbone.aligned_blocks=1", "feedback.first_head_steps=1", "objective.hidden_dim=32"]
    capsys.readouterr()
    assert train([mine, "--check", "--work-dir", str(tmp_path / "run"), "--cfg-options", *small]) == 0
    said = capsys.readouterr().out
    assert "for 300 steps" in said and "checked: nothing was written" in said
    assert not (tmp_path / "run").exists()


def test_configs_are_not_replaced_without_being_asked(data, tmp_path, capsys):
    (tmp_path / "mine_fixed.py").write_text("mine = True\n")
    assert main([str(tmp_path / "mine.py"), "--data", str(data)]) == 1
    assert "mine_fixed.py: already there" in capsys.readouterr().err
    assert not (tmp_path / "mine.py").exists()
    assert main([str(tmp_path / "mine.py"), "--data", str(data), "--overwrite"]) == 0
