"""`SourceWeights` in a run on a mixture of folders: what moves it, what it records, that it goes on exactly."""

import copy
import json

import numpy as np
import pytest
import torch

from vssl.datasets import UnlabeledMixture, save_shares
from vssl.designers.base import Construction
from vssl.engine import ConfigError
from vssl.engine.image_credit import _views, image_credits
from vssl.engine.training import build_runner, load_designer
from vssl.reports.policy.policy_page import write_policy_page

HALVES = dict(first=0.5, second=0.5)


@pytest.fixture
def config(designed_config, two_folders):
    config = copy.deepcopy(designed_config)
    config.unlabeled = two_folders
    config.designer = dict(type="vssl.designers.SourceWeights", sources=HALVES)
    config.designer_optimizer.lr = 0.1
    return config


@pytest.mark.slow
def test_a_run_learns_shares_tells_them_and_goes_on_exactly(config, tmp_path, cut_short):
    runner = build_runner(config, tmp_path / "run", seed=0)
    runner.train()
    shift = runner.train_loop.designer.shift.detach()
    assert shift.all()
    rows = [json.loads(line) for line in (tmp_path / "run/policy.jsonl").read_text().splitlines()]
    shares = load_designer(tmp_path / "run").learned_shares()
    assert rows[0]["sources"] == pytest.approx(HALVES) and rows[-1]["sources"] == shares != HALVES
    told = json.loads((tmp_path / "run/image_worth.json").read_text())
    credits = [entry["credit"] for entry in told["most"]]
    assert credits == sorted(credits, reverse=True) and credits[0] > 0 > told["least"][0]["credit"]
    assert np.load(tmp_path / "run/image_worth.npz")["most"].shape == (8, 32, 32, 3)
    page = write_policy_page(tmp_path / "run").read_text(encoding="utf-8")
    for shown in ("Sources of the stream", "Sources, share of the loss: ", "worth most", "first", "second"):
        assert shown in page, shown
    save_shares(shares, tmp_path / "shares.yaml", note="run")
    again = UnlabeledMixture(config.unlabeled["roots"], 32, shares=tmp_path / "shares.yaml")
    assert again.shares == pytest.approx(shares)

    first = build_runner(config, tmp_path / "cut", seed=0)
    cut_short(first, 5)
    second = build_runner(config, tmp_path / "cut", seed=0, resume=True)
    second.train()
    assert torch.equal(second.train_loop.designer.shift, runner.train_loop.designer.shift)
    learned, resumed = runner.learner.state_dict(), second.learner.state_dict()
    assert all(torch.equal(learned[name], resumed[name]) for name in learned)


def chosen(config):
    """The mixture's shares as options, of which two steps with each tell the better one."""
    options = dict(first=dict(shares=dict(first=9.0, second=1.0)), second=dict(shares=dict(first=1.0, second=9.0)))
    config.designer, config.designer_optimizer = dict(type="vssl.designers.Choice", options=options), None
    config["value"].update(horizon=2, halvings=0)
    config.feedback.evaluator = "ridge"
    return config


def weighted(config):
    config.designer.resample, config.designer_optimizer.lr = True, 0.3
    return config


@pytest.mark.slow
@pytest.mark.parametrize("changed", [weighted, chosen])
def test_the_stream_follows_what_is_learned_and_goes_on_exactly(config, tmp_path, cut_short, changed):
    config = changed(config)
    runner = build_runner(config, tmp_path / "run", seed=0)
    runner.train()
    wanted, shares = runner.train_loop.designer.stream_shares(), runner.train_loop.stream.shares
    assert wanted["first"] != 0.5 and shares["first"] == pytest.approx(wanted["first"], abs=0.05)
    assert runner.train_loop.meta_stream.shares == HALVES
    first = build_runner(config, tmp_path / "cut", seed=0)
    cut_short(first, 5)
    second = build_runner(config, tmp_path / "cut", seed=0, resume=True)
    second.train()
    learned, resumed = runner.learner.state_dict(), second.learner.state_dict()
    assert all(torch.equal(learned[name], resumed[name]) for name in learned)
    fixed = copy.deepcopy(config)
    fixed.feedback = fixed["value"] = fixed.designer_optimizer = None
    fixed.designer_checkpoint = str(runner.checkpoint_path)
    replayed = build_runner(fixed, tmp_path / "fixed", seed=0)
    replayed.train()
    assert replayed.train_loop.stream.shares == shares


@pytest.mark.slow
def test_a_step_that_weighs_nothing_is_the_recipe_s(config, tmp_path):
    """Until φ moves; the first meta step is due at step 2 here."""
    config["value"].burn_in, config.budget = 2, dict(steps=2)
    designed = build_runner(config, tmp_path / "designed", seed=0)
    designed.train()
    config.designer, config.designer_optimizer = dict(type="vssl.designers.Identity"), None
    config.feedback = config["value"] = None
    fixed = build_runner(config, tmp_path / "fixed", seed=0)
    fixed.train()
    a, b = designed.learner.state_dict(), fixed.learner.state_dict()
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_the_gradient_of_a_source_is_the_slope_of_the_value(config, tmp_path, assert_slope):
    config["value"].rule = dict(type="vssl.value.Dot")
    runner = build_runner(config, tmp_path / "run", seed=0)
    assert_slope(runner, rel=0.03, weight=runner.train_loop.designer.shift)


@pytest.mark.slow
def test_the_credit_of_an_image_is_the_slope_of_the_value_in_its_weight(config, tmp_path):
    """N·∂V/∂w of the weighted mean of N images, for MAE, whose images do not meet."""
    config.objective = dict(type="vssl.objectives.MAE", decoder_dim=16, decoder_depth=1, decoder_heads=2)
    config.recipe.n_global, config.budget = 1, dict(steps=1)
    runner = build_runner(config, tmp_path / "run", seed=0)
    runner.train()
    loop = runner.train_loop
    looked_at, credits = image_credits(loop, [0, 3, 6, 9, 12, 15, 18, 21])
    assert looked_at == [0, 3, 6, 9, 12, 15, 18, 21] and abs(float(credits.mean())) < 1e-6
    update = loop.designer_update

    def value(weights):
        construction, draws = _views(loop, looked_at, 0)
        made = Construction(construction.views, construction.penalty, image_weights=weights)
        g_pre = update.step_gradient(made, draws, loop.autocast)
        return float(update.rule(update.g_down, g_pre, update.preconditioner).value)

    for image in (0, 5):
        more = 0.05 * torch.eye(8)[image]
        slope = (value(1 + more) - value(1 - more)) / 0.1
        assert 8 * slope == pytest.approx(float(credits[image]), rel=0.05, abs=2e-4)


@pytest.mark.slow
def test_rollouts_teach_it_too_and_leave_no_credit_of_images(config, tmp_path):
    config.feedback.evaluator = "ridge"
    config["value"].update(horizon=1, halvings=0, pairs=1, period=4)
    runner = build_runner(config, tmp_path / "run", seed=0)
    runner.train()
    assert runner.train_loop.designer.shift.any() and not (tmp_path / "run/image_worth.json").exists()
    assert "Sources of the stream" in write_policy_page(tmp_path / "run").read_text(encoding="utf-8")


def test_a_stream_without_these_sources_is_refused_before_the_run(config, designed_config, tmp_path):
    config.designer.sources = dict(first=0.7, second=0.3)
    with pytest.raises(ValueError, match="the shares of the stream are"):
        build_runner(config, tmp_path / "run", seed=0)
    config.unlabeled = designed_config.unlabeled
    with pytest.raises((ConfigError, ValueError), match="give unlabeled=dict"):
        build_runner(config, tmp_path / "run", seed=0)
