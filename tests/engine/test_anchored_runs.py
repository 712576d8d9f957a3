"""The keys of docs/continuing.md in a run: an anchor of weight 0 is none, a strong one holds; all go on exactly."""

import copy

import pytest
import torch

from vssl.engine import ConfigError
from vssl.engine.config import check_training_config
from vssl.engine.training import build_runner


def built(config, work_dir, resume=False, **anchor):
    config = copy.deepcopy(config)
    if anchor:
        config.anchor = anchor
    return build_runner(config, work_dir, seed=0, resume=resume)


def trained(config, work_dir, resume=False, **anchor):
    runner = built(config, work_dir, resume, **anchor)
    start = copy.deepcopy(runner.learner.student.state_dict())
    runner.train()
    return runner.learner.state_dict(), start


def distance(state, start):
    return sum((state[f"student.{name}"] - place).square().sum() for name, place in start.items()).sqrt()


@pytest.mark.slow
def test_weight_0_is_no_anchor_and_a_strong_one_holds_the_start(fixed_config, tmp_path):
    without, start = trained(fixed_config, tmp_path / "without")
    zero, _ = trained(fixed_config, tmp_path / "zero", weight=0.0, momentum=0.9)
    assert all(torch.equal(without[name], zero[name]) for name in without)
    strong, _ = trained(fixed_config, tmp_path / "strong", weight=500.0)
    assert distance(strong, start) < 0.9 * distance(without, start)
    assert all(torch.isfinite(value).all() for value in strong.values())


@pytest.mark.slow
def test_a_moving_anchor_layer_decay_and_a_head_alone_go_on_exactly(fixed_config, tmp_path, cut_short):
    settings = dict(weight=100.0, momentum=0.5, decoupled=False)
    fixed_config.layer_decay, fixed_config.schedule.head_share = 0.5, 0.8  # the backbone moves in the last step alone
    whole, _ = trained(fixed_config, tmp_path / "whole", **settings)
    cut = built(fixed_config, tmp_path / "cut", **settings)
    cut_short(cut, 5)  # the last checkpoint is of step 4
    resumed, _ = trained(fixed_config, tmp_path / "cut", resume=True, **settings)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_wrong_keys_are_told(fixed_config, tmp_path):
    for anchor, told in [
        ({"wieght": 1.0}, "did you mean 'weight'"),
        ({"momentum": 0.9}, "anchor has no weight"),
        ({"weight": -1.0}, r"anchor\.weight=-1"),
    ]:
        config = copy.deepcopy(fixed_config)
        config.anchor = anchor
        with pytest.raises(ConfigError, match=told):
            check_training_config(config)
