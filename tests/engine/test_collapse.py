"""Collapse is seen within 50 steps and said everywhere; healthy runs are left alone; degenerate batches are refused."""

import json
import math
import shutil

import numpy as np
import pytest
import torch
from mmengine.hooks import Hook
from PIL import Image

from vssl.commands.train import main
from vssl.engine import train
from vssl.engine.collapse import CollapseError, entropy, feature_spread, of_targets
from vssl.engine.config import ConfigError
from vssl.engine.training import build_runner
from vssl.objectives.simclr import nt_xent

DINO_OBJECTIVE = dict(type="vssl.objectives.DINO", n_local_crops=0, out_dim=64, hidden_dim=32, bottleneck_dim=16)


class Silence(Hook):
    """Takes from the backbone, after a step, everything that tells one image from another."""

    def __init__(self, step: int):
        self.step = step

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        if runner.train_loop.step >= self.step:
            with torch.no_grad():
                runner.learner.student.vit.norm.weight.mul_(1e-6)
                runner.learner.student.vit.norm.bias.fill_(1.0)


def metrics(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def warnings_of(run):
    return json.loads((run / "run.json").read_text())["warnings"]


@pytest.fixture
def all_but_alike(tmp_path):
    """24 files, no two of them equal, that differ in one pixel's brightness."""
    folder = tmp_path / "grey"
    folder.mkdir()
    for number in range(24):
        pixels = np.full((32, 32, 3), 90, np.uint8)
        pixels[0, 0] += number
        Image.fromarray(pixels).save(folder / f"{number:03d}.png")
    return folder


def test_the_spread_of_features_is_a_share_of_their_length():
    assert feature_spread(torch.tensor([[3.0, 4.0], [3.0, 4.0]])) == 0
    assert feature_spread(torch.tensor([[1.0, 0.0], [-1.0, 0.0]])) == pytest.approx(1)
    assert feature_spread(torch.tensor([[1.0, 0.1], [1.0, -0.1]])) == pytest.approx(math.sqrt(0.01 / 1.01))


def test_entropy_in_nats():
    assert entropy(torch.full((3, 8), 1 / 8)).tolist() == pytest.approx([math.log(8)] * 3)
    assert entropy(torch.eye(4)).tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("logits", "kind"),
    [
        (torch.zeros(64), "uniform"),
        (80 * torch.eye(64)[3], "one prototype"),
        (5 * torch.eye(64)[3], "one distribution"),
    ],
)
def test_targets_that_are_the_same_for_all_images(logits, kind):
    assert of_targets(torch.eye(64)) == []  # each image its own prototype: entropy 0 each, ln K together
    (sign,) = of_targets(logits.softmax(0).expand(8, -1))
    assert kind in sign.text and "ln K = 4.1589" in sign.text


def test_simclr_to_which_all_images_are_alike_guesses_among_all_other_views(fixed_config, tmp_path):
    objective = build_runner(fixed_config, tmp_path / "run", seed=0).learner.objective
    alike = torch.ones(8, 4)
    assert nt_xent(alike, alike, 0.2).mean().item() == pytest.approx(objective.blind_loss(8))
    assert objective.blind_loss(8) == math.log(15)


@pytest.mark.slow
def test_images_that_are_all_but_alike_are_said_everywhere(fixed_config, tmp_path, all_but_alike, capsys):
    config, run = tmp_path / "fixed.py", tmp_path / "run"
    options = [f"unlabeled.root={all_but_alike}", "budget.steps=50", "checkpoint_interval=100"]
    assert main([str(config), "--work-dir", str(run), "--cfg-options", *options]) == 0
    found = warnings_of(run)
    assert {"features alike", "loss of a guess"} <= {warning["sign"] for warning in found}
    assert all(warning["step"] <= 50 for warning in found)
    assert [text for line in metrics(run) for text in line.get("warnings", [])] == [w["text"] for w in found]
    printed = capsys.readouterr().out.splitlines()
    assert "fixed, seed 0: warning: step 20: features of 24 images are all but the same" in "\n".join(printed[:-1])
    assert printed[-1].startswith(f"finished, with warnings: {run}") and found[0]["text"] in printed[-1]


def test_images_need_not_be_whole_patches_where_crops_are(fixed_config, tmp_path):
    fixed_config.merge_from_dict({"unlabeled.size": 30, "budget.steps": 2, "rankme_interval": 1})  # patches of 8 px
    train(fixed_config, tmp_path / "run")
    assert all(line["rankme"] > 1 for line in metrics(tmp_path / "run"))


@pytest.mark.slow
def test_a_run_can_be_stopped_where_it_collapses(fixed_config, tmp_path, all_but_alike):
    fixed_config.merge_from_dict(
        {"unlabeled.root": str(all_but_alike), "budget.steps": 60, "checkpoint_interval": 8, "collapse": "stop"}
    )
    with pytest.raises(CollapseError, match=r"step \d0: features of 24.*the last checkpoint is .*checkpoint\.pth"):
        train(fixed_config, tmp_path / "run")
    about = json.loads((tmp_path / "run/run.json").read_text())
    assert not about["finished"] and about["warnings"][0]["step"] <= 50


def test_a_run_too_short_for_two_looks_is_looked_at_at_its_end(fixed_config, tmp_path, all_but_alike):
    fixed_config.merge_from_dict({"unlabeled.root": str(all_but_alike), "budget.steps": 5})
    assert {warning["step"] for warning in warnings_of(train(fixed_config, tmp_path / "run"))} == {5}
    fixed_config.collapse = "off"
    assert warnings_of(train(fixed_config, tmp_path / "off")) == []


@pytest.mark.slow
def test_a_collapse_on_the_way_is_said_within_50_steps(fixed_config, tmp_path):
    fixed_config.merge_from_dict({"budget.steps": 60, "checkpoint_interval": 100, "rankme_interval": 0})
    runner = build_runner(fixed_config, tmp_path / "run", seed=0)
    runner.register_hook(Silence(23))
    with runner.claim:
        runner.train()
    assert [warning["step"] for warning in runner.warnings if warning["sign"] == "features alike"] == [40]


@pytest.mark.slow
@pytest.mark.parametrize("objective", [None, DINO_OBJECTIVE], ids=["SimCLR", "DINO"])
def test_healthy_runs_have_no_warnings(fixed_config, tmp_path, objective, capsys):
    fixed_config.merge_from_dict({"budget.steps": 60, "checkpoint_interval": 100, "rankme_interval": 0})
    if objective:
        fixed_config.objective = objective
    assert warnings_of(train(fixed_config, tmp_path / "run")) == []
    assert "warning" not in capsys.readouterr().out


@pytest.mark.slow
def test_a_run_that_goes_on_keeps_its_warnings_and_says_each_once(fixed_config, tmp_path, all_but_alike):
    fixed_config.merge_from_dict({"unlabeled.root": str(all_but_alike), "budget.steps": 50})
    run = train(fixed_config, tmp_path / "run")
    before = warnings_of(run)
    fixed_config.budget.steps = 90
    assert warnings_of(train(fixed_config, run, resume=True)) == before
    said = [text for line in metrics(run) for text in line.get("warnings", [])]
    assert said == [warning["text"] for warning in before]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 1}, "batch_size=1: SimCLR compares the images of a batch; give at least 2"),
        (
            {"batch_size": 25},
            r"batch_size=25 on 1 rank\(s\), but unlabeled has 24 different .*batch_size <= 24",
        ),
    ],
)
def test_batches_without_other_images_are_refused_where_the_loss_compares(fixed_config, tmp_path, options, message):
    fixed_config.merge_from_dict(options)
    with pytest.raises(ConfigError, match=message):
        train(fixed_config, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    fixed_config.objective, fixed_config.budget = DINO_OBJECTIVE, dict(steps=1)
    train(fixed_config, tmp_path / "run")  # looks at each image alone


def test_the_meta_batch_is_checked_too(designed_config, tmp_path):
    designed_config["value"]["batch_size"] = 1
    with pytest.raises(ConfigError, match=r"value\.batch_size=1: SimCLR compares"):
        train(designed_config, tmp_path / "run")


@pytest.mark.slow
def test_copies_count_once(fixed_config, miniature, tmp_path):
    for number, path in enumerate(sorted((miniature / "imagenet/train/a").iterdir())[:6]):
        for copy in range(4):
            (tmp_path / "copies").mkdir(exist_ok=True)
            shutil.copy(path, tmp_path / "copies" / f"{number}_{copy}.jpg")
    fixed_config.merge_from_dict({"unlabeled.root": str(tmp_path / "copies"), "batch_size": 8})
    with pytest.raises(ConfigError, match=r"has 6 different image\(s\) \(24 files, some of them copies\)"):
        train(fixed_config, tmp_path / "run")


def test_one_picture_in_many_files_is_refused_for_every_objective(fixed_config, tmp_path):
    (tmp_path / "black").mkdir()
    for number in range(10):
        Image.new("RGB", (32, 32)).save(tmp_path / "black" / f"{number}.png")
    fixed_config.unlabeled.root, fixed_config.objective = str(tmp_path / "black"), DINO_OBJECTIVE
    with pytest.raises(ConfigError, match=r"10 images of 10 were looked at, and all are the same picture"):
        train(fixed_config, tmp_path / "run")


def test_unknown_choices_are_refused(fixed_config, tmp_path):
    fixed_config.collapse = "ignore"
    with pytest.raises(ConfigError, match="collapse='ignore' is unknown; choose one of warn, stop, off"):
        train(fixed_config, tmp_path / "run")


@pytest.mark.slow
def test_a_fresh_head_that_begins_near_a_guess_is_not_called_collapsed(fixed_config, tmp_path):
    fixed_config.merge_from_dict({"optimizer.lr": 1e-12, "budget.steps": 20, "objective.temperature": 1000.0})
    runner = build_runner(fixed_config, tmp_path / "run", seed=0)
    with runner.claim:
        runner.train()
    blind = runner.learner.objective.blind_loss(8)
    assert runner.train_loop.last_loss.item() == pytest.approx(blind, rel=1e-3)
    assert runner.warnings == []
