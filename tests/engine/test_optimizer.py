"""Parameter groups with a rate per layer, and a run that begins where another ended."""

import pytest
import torch

from vssl.engine import train
from vssl.engine.optimizer import parameter_groups
from vssl.engine.training import build_runner
from vssl.objectives import MAE


def test_each_layer_has_its_share_of_the_rate(fixed_config, tmp_path):
    fixed_config.layer_decay = 0.5
    runner = build_runner(fixed_config, tmp_path / "run", seed=0)
    peak = {id(p): g["peak_lr"] for g in runner.optim_wrapper.optimizer.param_groups for p in g["params"]}
    vit = runner.learner.student.vit
    lr = fixed_config.optimizer.lr
    expected = {vit.pos_embed: 8, vit.patch_embed.proj.weight: 8, vit.blocks[0].attn.qkv.weight: 4}
    expected |= {vit.blocks[1].mlp.fc1.weight: 2, vit.blocks[2].norm1.bias: 1, vit.norm.weight: 1}
    expected |= {p: 1 for p in runner.learner.objective.parameters()}
    assert all(peak[id(p)] == lr / divisor for p, divisor in expected.items())
    assert len(peak) == len(list(runner.learner.parameters()))


def test_without_layer_decay_the_groups_are_four(fixed_config, tmp_path):
    learner = build_runner(fixed_config, tmp_path / "run", seed=0).learner
    groups = parameter_groups(learner, fixed_config.optimizer)
    assert [(g["part"], g["weight_decay"]) for g in groups] == [
        ("backbone", 0.04), ("backbone", 0.0), ("head", 0.04), ("head", 0.0)
    ]  # fmt: skip
    assert not any("lr" in g for g in groups)


def test_a_run_begins_with_everything_that_another_has_learned(fixed_config, tmp_path):
    train(fixed_config, tmp_path / "first")
    before = torch.load(tmp_path / "first/checkpoint.pth", weights_only=True)
    fixed_config.merge_from_dict({"continue_run": str(tmp_path / "first"), "optimizer.lr": 2e-4})
    runner = build_runner(fixed_config, tmp_path / "second", seed=1)
    assert all(torch.equal(v, before["learner"][k]) for k, v in runner.learner.state_dict().items())
    now = runner.optim_wrapper.optimizer.state_dict()
    assert all(torch.equal(v, before["optimizer"]["state"][i]["exp_avg"]) for i, v in _moments(now).items())
    assert {group["peak_lr"] for group in now["param_groups"]} == {2e-4}


@pytest.mark.slow
def test_a_continued_run_resumes_exactly(fixed_config, tmp_path):
    train(fixed_config, tmp_path / "first")
    fixed_config.continue_run = str(tmp_path / "first")
    train(fixed_config, tmp_path / "whole")
    runner = build_runner(fixed_config, tmp_path / "cut", seed=0)
    loop, ordinary = runner.train_loop, runner.train_loop.run_iter

    def killed(progress):
        if loop.step == 5:
            raise KeyboardInterrupt
        ordinary(progress)

    loop.run_iter = killed
    with pytest.raises(KeyboardInterrupt), runner.claim:
        runner.train()
    train(fixed_config, tmp_path / "cut", resume=True)
    a, b = (torch.load(tmp_path / name / "checkpoint.pth", weights_only=True)["learner"] for name in ("whole", "cut"))
    assert all(torch.equal(a[key], b[key]) for key in a)


def test_a_run_of_another_objective_is_refused(fixed_config, tmp_path):
    train(fixed_config, tmp_path / "first")
    fixed_config.continue_run = str(tmp_path / "first")
    fixed_config.objective = dict(type=MAE, decoder_dim=16, decoder_depth=1, decoder_heads=2)
    fixed_config.recipe.n_global = 1
    with pytest.raises(ValueError, match="run of another backbone or objective"):
        build_runner(fixed_config, tmp_path / "second", seed=0)
    fixed_config.continue_run = str(tmp_path / "nothing")
    with pytest.raises(FileNotFoundError, match="continue_run: "):
        build_runner(fixed_config, tmp_path / "third", seed=0)


def _moments(state: dict) -> dict:
    return {i: s["exp_avg"] for i, s in state["state"].items()}
