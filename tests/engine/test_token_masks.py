"""`TokenMask` in a run of each objective that hides patches: what moves it, that it is resumed."""

import copy
import json

import pytest
import torch

from vssl.engine import ConfigError
from vssl.engine.training import build_runner

BOTH = ("hidden", "counted")
SMALL_HEAD = dict(n_local_crops=0, out_dim=16, hidden_dim=16, bottleneck_dim=8, mask_probability=1.0)
OBJECTIVES = {
    "mae": dict(type="vssl.objectives.MAE", decoder_dim=16, decoder_depth=1, decoder_heads=2),
    "ibot": dict(type="vssl.objectives.IBOT", mask_ratio=(0.3, 0.6), mask_min_patches=1, **SMALL_HEAD),
    "ijepa": dict(
        type="vssl.objectives.IJEPA",
        predictor_dim=16, predictor_depth=1, predictor_heads=2, min_keep=0, target_scale=(0.3, 0.5),
    ),
}  # fmt: skip
OBJECTIVES["mix"] = dict(
    type="vssl.objectives.ObjectiveMix",
    objectives={name: OBJECTIVES[name] for name in ("mae", "ibot")},
    weights=dict(ibot=0.5),
)


def phi(runner):
    return torch.cat([p.detach().flatten() for p in runner.train_loop.designer.parameters()])


def masked(config, objective, **designer):
    config = copy.deepcopy(config)
    config.objective = copy.deepcopy(OBJECTIVES[objective])
    config.recipe.n_global = 2 if objective in ("ibot", "mix") else 1
    patch_size = config.backbone.patch_size
    config.designer = dict(type="vssl.designers.TokenMask", patch_size=patch_size, width=4, **designer)
    return config


@pytest.mark.slow
@pytest.mark.parametrize(
    ("objective", "learns"),
    [(name, learns) for name in OBJECTIVES for learns in (("hidden",), BOTH) if name != "mix" or learns == BOTH],
)
def test_it_learns_and_goes_on_exactly(designed_config, tmp_path, objective, learns, cut_short):
    config = masked(designed_config, objective, learns=learns)
    runner = build_runner(config, tmp_path / "run", seed=0)
    assert not runner.train_loop.designer.head.weight.any()
    runner.train()
    assert all(row.any() for row in runner.train_loop.designer.head.weight)
    last = json.loads((tmp_path / "run/metrics.jsonl").read_text().splitlines()[-1])
    assert last["patch_score/min"] < last["patch_score/max"] and ("patch_weight/max" in last) == (len(learns) == 2)

    first = build_runner(config, tmp_path / "cut", seed=0)
    cut_short(first, 5)  # one after its last checkpoint
    second = build_runner(config, tmp_path / "cut", seed=0, resume=True)
    second.train()
    assert torch.equal(phi(second), phi(runner))
    learned, resumed = runner.learner.state_dict(), second.learner.state_dict()
    assert all(torch.equal(learned[name], resumed[name]) for name in learned)


@pytest.mark.slow
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_gradient_of_what_counts_is_the_slope_of_the_value(designed_config, tmp_path, objective, assert_slope):
    config = masked(designed_config, objective, learns=("counted",))
    # A fresh predictor of I-JEPA passes so little that the difference of two gradients would be mostly rounding.
    config["value"].update(rule=dict(type="vssl.value.Dot"), estimator=dict(type="vssl.value.double_backward"))
    runner = build_runner(config, tmp_path / "run", seed=0)
    assert_slope(runner, rel=0.03)


def test_an_adversary_hides_what_is_lost_most(designed_config, tmp_path):
    """Its scores follow the loss, a quantity that is there without any label."""
    config = masked(designed_config, "mae", adversarial=True)
    runner = build_runner(config, tmp_path / "run", seed=0)
    loop, update, designer = runner.train_loop, runner.train_loop.designer_update, runner.train_loop.designer
    runner.learner.eval()
    images, draws = loop.meta_stream.next()[0], loop.draws
    update._feed_back(0, loop.autocast)
    construction = designer(images, draws("meta views"))
    scores = construction.views.patch_scores
    scores.retain_grad()
    update._backward(construction, None, update._downstream[0], draws, loop.autocast)
    state = runner.learner.objective.begin(runner.learner.student, None, construction.views, draws("meta objective"))
    lost = runner.learner.objective.losses(runner.learner.student, state)["pixels"].detach()
    above = (lost - lost.mean(1, keepdim=True)) / lost.numel()
    torch.testing.assert_close(-scores.grad[0].gather(1, state["hidden"]), above, rtol=1e-3, atol=1e-7)


def test_an_adversary_has_no_rollouts(designed_config, tmp_path):
    config = masked(designed_config, "mae", adversarial=True)
    config.feedback.evaluator = "ridge"
    config["value"].update(horizon=2, halvings=0)
    with pytest.raises(ConfigError, match="adversarial=True follows the loss of one step"):
        build_runner(config, tmp_path / "run", seed=0)
