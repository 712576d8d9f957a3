"""`Together` in a run: all parts learn under one value, what each follows is its slope, and it goes on exactly."""

import json

import numpy as np
import pytest
import torch

from vssl.engine.training import build_runner, load_designer
from vssl.reports.policy.policy_page import write_policy_page


@pytest.fixture
def config(designed_config, two_folders):
    """MAE with two targets: policy, masks of patches, weights of the loss and of sources."""
    config = designed_config
    config.unlabeled, config.recipe.n_global = two_folders, 1
    target = [dict(type="vssl.objectives.targets.Pixels"), dict(type="vssl.objectives.hog.HOG", cell=4)]
    small = dict(decoder_dim=16, decoder_depth=1, decoder_heads=2)
    config.objective = dict(type="vssl.objectives.MAE", target=target, **small)
    config.designer = dict(
        type="vssl.designers.Together",
        views=dict(type="vssl.designers.GlobalPolicy", gates="fixed"),
        patches=dict(type="vssl.designers.TokenMask", patch_size=8, width=4, learns=("hidden", "counted")),
        loss=dict(type="vssl.designers.LossWeights", components=dict(pixels=1.0, hog=1.0)),
        images=dict(type="vssl.designers.SourceWeights", sources=dict(first=0.5, second=0.5)),
    )
    config.designer_learning_rates = dict(loss=0.1)
    return config


@pytest.mark.slow
def test_all_parts_learn_and_are_told_and_it_goes_on_exactly(config, tmp_path, cut_short):
    runner = build_runner(config, tmp_path / "run", seed=0)
    assert [group["lr"] for group in runner.train_loop.designer_update.optimizer.param_groups] == [0.01, 0.1]
    runner.train()
    designer = runner.train_loop.designer
    moved = (designer.views.raw[0], designer.patches.head.weight, designer.loss.shift, designer.images.shift)
    assert all(part.any() for part in moved)
    rows = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert {"credit/hog", "weight/hog", "patch_score/max", "source_share/first"} <= rows[-1].keys()
    page = write_policy_page(tmp_path / "run").read_text(encoding="utf-8")
    for shown in ("Sources of the stream", "What the loss is made of", "worth most", "Which patches"):
        assert shown in page, shown
    assert "This designer has no policy" not in page
    maps = np.load(tmp_path / "run/patch_credit.npz")
    assert maps["views"].shape == (8, 32, 32, 3) and maps["credit"].shape == maps["odds"].shape == (8, 4, 4)
    assert np.nanmean(maps["credit"], (1, 2)) == pytest.approx(np.zeros(8), abs=1e-6) and np.nanstd(maps["credit"]) > 0
    for name in ("odds", "weight"):
        assert maps[name].mean((1, 2)) == pytest.approx(np.ones(8), rel=1e-5) and maps[name].std() > 0
    learned = load_designer(tmp_path / "run").state_dict()

    first = build_runner(config, tmp_path / "cut", seed=0)
    cut_short(first, 5)
    second = build_runner(config, tmp_path / "cut", seed=0, resume=True)
    second.train()
    resumed, student = second.train_loop.designer.state_dict(), second.learner.state_dict()
    assert all(torch.equal(learned[name], resumed[name]) for name in learned)
    assert all(torch.equal(value, student[name]) for name, value in runner.learner.state_dict().items())


@pytest.mark.slow
@pytest.mark.parametrize("part", ["views", "loss", "images"])
def test_what_each_part_follows_is_the_slope_of_the_value(config, tmp_path, part):
    """With all the others away from their start, so that a part that forgot another would be seen."""
    config["value"].rule, config.designer.patches.learns = dict(type="vssl.value.Dot"), ("counted",)
    config["value"].estimator = dict(type="vssl.value.double_backward")
    runner = build_runner(config, tmp_path / "run", seed=0)
    loop, update, designer = runner.train_loop, runner.train_loop.designer_update, runner.train_loop.designer
    runner.learner.train()
    with torch.no_grad():
        for number, p in enumerate(designer.parameters()):
            p.add_(0.2 * torch.randn(p.shape, generator=torch.Generator().manual_seed(number)))
        designer.images.shift.copy_(torch.tensor([1.0, -1.0]))  # what a part of the loss earns depends on it
    images, draws = loop.meta_stream.next()[0], loop.draws
    update._feed_back(0, loop.autocast)
    update._backward(designer(images, draws("meta views")), None, update.g_down, draws, loop.autocast)
    weight = {"views": designer.views.raw[0], "loss": designer.loss.shift, "images": designer.images.shift}[part]
    direction, start = weight.grad / weight.grad.norm(), weight.detach().clone()

    def value(step):
        with torch.no_grad():
            weight.copy_(start + step * direction)
        g_pre = update.step_gradient(designer(images, draws("meta views")), draws("meta objective"), loop.autocast)
        return float(update.rule(update.g_down, g_pre, update.preconditioner).value)

    # Pixels that an op takes beyond [0, 1] are cut off there: larger steps of the views pass such kinks.
    step, rel = (0.001, 0.1) if part == "views" else (0.1, 0.01)
    slope = (value(step) - value(-step)) / (2 * step)
    assert -float((weight.grad * direction).sum()) == pytest.approx(slope, rel=rel)
