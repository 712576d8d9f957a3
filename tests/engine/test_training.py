"""Runs as a user starts them: what they write, resume, refuse."""

import copy
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import timm
import torch
from mmengine.hooks import Hook
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from vssl.commands.train import main
from vssl.comparison.workers import default_workers
from vssl.datasets import UnreadableImage
from vssl.engine import ConfigError
from vssl.engine.config import load_config
from vssl.engine.loop import NonFiniteError
from vssl.engine.training import _say_once, build_runner, check_data, train
from vssl.learner import load_backbone

ROOT = Path(__file__).parents[2]


def lines(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_a_run_writes_what_it_promises(designed_config, tmp_path):
    run = train(designed_config, tmp_path / "run", seed=1)
    log = lines(run)
    assert [line["step"] for line in log] == [2, 4, 6]
    expected = {
        "seconds", "loss", "lr", "designer_lr", "value", "cosine", "cosine/segmentation", "cosine/depth",
        "g_down_norm/segmentation", "g_down_norm/depth", "g_pre_norm", "mask/mean", "mask/std", "time/data",
        "time/augment", "time/learner", "time/feedback", "time/designer", "images_per_second", "peak_memory_mb",
        "rankme",
    }  # fmt: skip
    assert expected <= log[0].keys()
    phases = sum(value for key, value in log[-1].items() if key.startswith("time/"))
    assert phases * 2 <= log[-1]["seconds"] - log[-2]["seconds"] + 1e-3
    about = json.loads((run / "run.json").read_text())
    assert (about["steps"], about["finished"], about["seed"], about["designer"]) == (6, True, 1, "UNetMask")
    assert (run / "config.py").is_file() and (run / "views.npz").is_file()


def test_a_run_is_followed_in_tensorboard(fixed_config, tmp_path):
    run = train(fixed_config, tmp_path / "run")
    (events,) = run.rglob("events.out.tfevents*")
    reader = EventAccumulator(str(events.parent))
    reader.Reload()
    logged = [(event.step, event.value) for event in reader.Scalars("loss")]
    assert logged == [(line["step"], pytest.approx(line["loss"], rel=1e-6)) for line in lines(run)]


def test_the_exported_backbone_loads_in_timm(fixed_config, tmp_path):
    run = train(fixed_config, tmp_path / "run")
    settings = {k: v for k, v in fixed_config.backbone.items() if k not in ("type", "name", "aligned_blocks")}
    vit = timm.create_model(
        fixed_config.backbone.name,
        checkpoint_path=str(run / "backbone.safetensors"),
        num_classes=0,
        global_pool="",
        **settings,
    )
    ours, images = load_backbone(run / "backbone.safetensors").eval(), torch.rand(2, 3, 32, 32)
    torch.testing.assert_close(vit.eval().forward_features((images - ours.mean) / ours.std), ours(images))


@pytest.mark.slow
def test_the_same_seed_gives_the_same_weights_and_another_seed_others(designed_config, tmp_path):
    runs = [
        train(copy.deepcopy(designed_config), tmp_path / name, seed=s) for name, s in [("a", 0), ("b", 0), ("c", 1)]
    ]
    a, b, c = (load_file(run / "backbone.safetensors") for run in runs)
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert not all(torch.equal(a[name], c[name]) for name in a)


def test_a_budget_in_seconds_ends_the_run(fixed_config, tmp_path):
    fixed_config.budget = dict(seconds=0.5)
    run = train(fixed_config, tmp_path / "run")
    about = json.loads((run / "run.json").read_text())
    assert 0.5 <= about["seconds"] < 2.0 and about["steps"] > 1


@pytest.mark.slow
@pytest.mark.parametrize("after", [1, 3])
def test_a_run_that_stopped_between_checkpoints_resumes_bit_for_bit(designed_config, tmp_path, after, cut_short):
    whole = train(copy.deepcopy(designed_config), tmp_path / "whole")
    runner = build_runner(copy.deepcopy(designed_config), tmp_path / "part", seed=0)
    cut_short(runner, 2 + after)
    resumed = train(copy.deepcopy(designed_config), tmp_path / "part", resume=True)
    a, b = load_file(whole / "backbone.safetensors"), load_file(resumed / "backbone.safetensors")
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert [line["step"] for line in lines(resumed)] == [2, 4, 6]


@pytest.mark.slow
def test_the_saved_config_runs_it_again(designed_config, tmp_path):
    """Its keys are sorted, those of the config were not."""
    assert list(designed_config.feedback.tasks) != sorted(designed_config.feedback.tasks)
    first = train(copy.deepcopy(designed_config), tmp_path / "first")
    again = train(load_config(first / "config.py"), tmp_path / "again")
    a, b = load_file(first / "backbone.safetensors"), load_file(again / "backbone.safetensors")
    assert all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.slow
def test_a_run_killed_with_sigkill_resumes_bit_for_bit(designed_config, tmp_path):
    designed_config.budget = dict(steps=40)
    designed_config.checkpoint_interval = 5
    designed_config.dump(tmp_path / "config.py")
    command = [sys.executable, str(ROOT / "tools/train.py"), str(tmp_path / "config.py"), "--work-dir"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    subprocess.run([*command, str(tmp_path / "whole")], check=True, env=environment, capture_output=True)
    process = subprocess.Popen(
        [*command, str(tmp_path / "part")], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while not (tmp_path / "part" / "checkpoint.pth").exists() and process.poll() is None:
        time.sleep(0.01)
    time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "part" / "backbone.safetensors").exists(), "killed too late to show anything"
    subprocess.run([*command, str(tmp_path / "part"), "--resume"], check=True, env=environment, capture_output=True)
    a, b = (load_file(tmp_path / name / "backbone.safetensors") for name in ("whole", "part"))
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_a_run_directory_is_never_overwritten(fixed_config, tmp_path):
    run = train(copy.deepcopy(fixed_config), tmp_path / "run")
    before = (run / "checkpoint.pth").read_bytes()
    with pytest.raises(FileExistsError, match="--resume"):
        train(fixed_config, run)
    assert (run / "checkpoint.pth").read_bytes() == before


def test_a_non_finite_loss_stops_the_run_and_keeps_the_last_checkpoint(fixed_config, tmp_path):
    runner = build_runner(fixed_config, tmp_path / "run", seed=0)
    loop, ordinary = runner.train_loop, runner.train_loop.run_iter

    def poisoned(progress):
        if loop.step == 3:
            loop.learner.objective.temperature = float("nan")
        ordinary(progress)

    loop.run_iter = poisoned
    with pytest.raises(NonFiniteError, match=r"step 3: loss nan.*checkpoint\.pth.*metrics\.jsonl"):
        runner.train()
    kept = torch.load(tmp_path / "run" / "checkpoint.pth", weights_only=True)
    assert kept["step"] == 2
    assert all(torch.isfinite(value).all() for value in kept["learner"].values())


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"unlabeled.root": "/nowhere/images"}, FileNotFoundError, "/nowhere/images"),
        ({"backbone.aligned_blocks": 9}, ValueError, r"aligned_blocks=9 \(K\) must be in 1..3"),
        ({"recipe.global_size": 30}, ValueError, "not a multiple of the patch"),
        ({"feedback.pools.segmentation.train": 100}, ValueError, "100"),
        ({"feedback.tasks.segmentation.num_classes": 1}, ValueError, "label"),
        ({"backbone.checkpoint": "missing.safetensors"}, FileNotFoundError, r"missing\.safetensors"),
        ({"precision": "fp8"}, ValueError, "fp8"),
        ({"value.period": 0}, ValueError, "period=0"),
    ],
)
def test_bad_input_is_named_before_any_work(designed_config, tmp_path, change, error, message):
    designed_config.merge_from_dict(change)
    with pytest.raises(error, match=message):
        train(designed_config, tmp_path / "run")
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


@pytest.mark.slow
def test_too_many_corrupt_images_are_named_and_the_run_can_go_on(fixed_config, tmp_path, miniature):
    images = shutil.copytree(miniature / "imagenet/train", tmp_path / "images")
    fixed_config.merge_from_dict({"unlabeled.root": str(images), "unlabeled.skip_corrupt": 0})
    whole = train(copy.deepcopy(fixed_config), tmp_path / "whole")
    broken = images / "a/0010.jpg"
    content = broken.read_bytes()

    class Break(Hook):
        def after_train_iter(self, *args, **kwargs):
            broken.write_bytes(content[:100])

    runner = build_runner(copy.deepcopy(fixed_config), tmp_path / "run", seed=0)
    runner.register_hook(Break())
    with runner.claim, pytest.raises(UnreadableImage, match=r"0010\.jpg.*skip_corrupt=0 tolerates 0") as caught:
        runner.train()
    assert "--resume" in caught.value.__notes__[0]
    broken.write_bytes(content)
    run = train(fixed_config, tmp_path / "run", resume=True)
    a, b = load_file(whole / "backbone.safetensors"), load_file(run / "backbone.safetensors")
    assert all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.slow
def test_what_the_labels_hold_is_said_before_the_first_step_and_doubts_are_kept(designed_config, tmp_path, capsys):
    designed_config.feedback.tasks.segmentation.num_classes = 9
    designed_config.budget.steps = 1
    run = train(designed_config, tmp_path / "run")
    said = capsys.readouterr().out
    assert 'segmentation: label_values="1..C": class 0 ' in said and "never: class 3, " in said
    assert "depth: depth_scale=1000 steps a metre: 1 to 4 m, median 4 m; 3.12 % of the pixels without depth" in said
    doubts = [warning["text"] for warning in json.loads((run / "run.json").read_text())["warnings"]]
    assert any("the largest label is 3 of 9 classes; num_classes=9 may be too many" in text for text in doubts)
    assert lines(run)[0]["warnings"][: len(doubts)] == doubts


@pytest.mark.slow
def test_the_number_of_classes_is_that_of_dataset_json_unless_the_config_names_one(
    designed_config, tmp_path, miniature
):
    labels = shutil.copytree(miniature / "ade20k", tmp_path / "ade20k")
    feedback = designed_config.feedback
    feedback.pools.segmentation.dataset.root = str(labels)
    del feedback.tasks.segmentation["num_classes"]
    with pytest.raises(ValueError, match=r"no num_classes, and no dataset\.json"):
        build_runner(copy.deepcopy(designed_config), tmp_path / "run", seed=0)
    (labels / "dataset.json").write_text('{"classes": ["wall", "square", "other square"]}')

    def classes(config):
        return build_runner(config, tmp_path / "run", seed=0).train_loop.designer_update.feedback.tasks["segmentation"]

    assert classes(copy.deepcopy(designed_config)).num_classes == 3
    feedback.tasks.segmentation.num_classes = 4
    assert classes(designed_config).num_classes == 4


@pytest.mark.slow
def test_a_new_head_on_a_trained_backbone_is_said(fixed_config, tmp_path, capsys):
    fixed_config.budget.steps = 1
    start = train(copy.deepcopy(fixed_config), tmp_path / "start")
    assert "its SSL head is new" not in capsys.readouterr().out
    fixed_config.backbone.checkpoint = str(start / "backbone.safetensors")
    for name, changes, said in (
        ("fresh", {}, True),
        ("first", {"schedule.head_share": 0.5}, False),
        ("whole", {"continue_run": str(start)}, False),
    ):
        _say_once.cache_clear()
        config = copy.deepcopy(fixed_config)
        config.merge_from_dict(changes)
        train(config, tmp_path / name)
        assert ("its SSL head is new" in capsys.readouterr().out) == said


@pytest.mark.parametrize("workers", [0, 2])
def test_a_corrupt_image_does_not_end_a_run_and_is_said(fixed_config, tmp_path, miniature, workers, capsys):
    images = shutil.copytree(miniature / "imagenet/train", tmp_path / "images")
    (images / "a/0010.jpg").write_bytes(b"<html>404</html>")
    options = [f"unlabeled.root={images}", f"num_workers={workers}"]
    run, config = tmp_path / "run", tmp_path / "fixed.py"
    assert main([str(config), "--work-dir", str(run), "--cfg-options", *options]) == 0
    (line,) = (run / "bad_files.txt").read_text().splitlines()
    assert line.startswith("image 10\t") and "0010.jpg: not a readable image" in line
    assert "1 of 24 unlabeled images could not be read" in capsys.readouterr().out.splitlines()[-1]


@pytest.mark.slow
def test_a_corrupt_label_is_named_before_the_run_begins(designed_config, tmp_path, miniature):
    root = shutil.copytree(miniature / "ade20k", tmp_path / "ade20k")
    (root / "annotations/training/0003.png").write_bytes(b"not a picture")
    designed_config.feedback.pools.segmentation.dataset.root = str(root)
    with pytest.raises(UnreadableImage, match=r"0003\.png"):
        train(designed_config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_checkpoint_of_another_architecture_is_refused(fixed_config, tmp_path):
    run = train(copy.deepcopy(fixed_config), tmp_path / "run")
    fixed_config.backbone.update(embed_dim=48, checkpoint=str(run / "backbone.safetensors"))
    with pytest.raises(ValueError, match="another architecture"):
        train(fixed_config, tmp_path / "other")


@pytest.mark.slow
def test_labels_of_every_arm_are_read_before_a_comparison_trains_any(designed_config, miniature, tmp_path):
    root = tmp_path / "ade20k"
    shutil.copytree(miniature / "ade20k", root)
    designed_config.feedback.pools.segmentation.dataset.root = str(root)
    designed_config.dump(tmp_path / "arm.py")
    default_workers().load_config(tmp_path / "arm.py", {})
    (root / "annotations" / "training" / "0003.png").write_bytes(b"broken")
    with pytest.raises(ValueError, match=r"0003\.png"):
        default_workers().load_config(tmp_path / "arm.py", {})


def test_a_pool_that_is_too_large_is_named(designed_config):
    designed_config.feedback.pools.depth.train = 1000
    with pytest.raises(ConfigError, match=r"feedback\.pools\.depth \(.*need \d+ images, but the split has only 16"):
        check_data(designed_config)
