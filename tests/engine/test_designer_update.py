"""Every kind of designer in a real run, and when it is updated."""

import copy
import json
from itertools import product

import pytest
import torch

from vssl.designers import Identity
from vssl.draws import Draws
from vssl.engine import ConfigError
from vssl.engine.config import CHOICES
from vssl.engine.training import build_runner, train
from vssl.value import NormGrowth, cosine, norm

DESIGNERS = {
    "unet": dict(type="vssl.designers.UNetMask", width=4),
    "dit": dict(type="vssl.designers.DiTMask", patch_size=8, dim=16, depth=1, heads=2),
    "global": dict(type="vssl.designers.GlobalPolicy"),
    "instance": dict(type="vssl.designers.InstancePolicy", width=4),
    "masked": dict(
        type="vssl.designers.MaskedPolicy",
        policy=dict(type="vssl.designers.GlobalPolicy"),
        mask=dict(type="vssl.designers.UNetMask", width=4),
    ),
    "search": dict(type="vssl.designers.CandidateSearch"),
    "images": dict(type="vssl.designers.ImageWeights", width=4),
}


def with_designer(config, name):
    config = copy.deepcopy(config)
    config.designer = DESIGNERS[name]
    if name == "search":
        config.designer_optimizer = None
        config["value"].candidates = 3
    return config


def phi(runner):
    return torch.cat([p.detach().flatten() for p in runner.train_loop.designer.parameters()])


@pytest.mark.slow
@pytest.mark.parametrize("name", DESIGNERS)
def test_a_designer_is_trained_by_feedback_and_saved(designed_config, tmp_path, name):
    runner = build_runner(with_designer(designed_config, name), tmp_path / "run", seed=0)
    before = phi(runner)
    runner.train()
    assert not torch.equal(before, phi(runner))
    saved = torch.load(tmp_path / "run/checkpoint.pth", weights_only=True)["designer"]
    assert all(torch.equal(saved[key], value) for key, value in runner.train_loop.designer.state_dict().items())
    last = json.loads((tmp_path / "run/metrics.jsonl").read_text().splitlines()[-1])
    assert {"value", "cosine", "cosine/segmentation", "cosine_between/depth/segmentation", "g_pre_norm"} <= last.keys()


@pytest.mark.parametrize("name", ["global", "masked"])
def test_after_a_step_a_policy_is_where_its_numbers_move(designed_config, tmp_path, name):
    config = with_designer(designed_config, name)
    config.designer_optimizer.lr = 100.0  # far beyond every range
    runner = build_runner(config, tmp_path / "run", seed=0)
    runner.learner.train()
    runner.train_loop.update_designer()
    designer = runner.train_loop.designer
    policy = designer.policy if name == "masked" else designer
    assert all(row.any() and row.abs().max() < 50 for row in policy.raw)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["global", "search", "images"])
def test_a_resumed_designer_goes_on_exactly(designed_config, tmp_path, name):
    config = with_designer(designed_config, name)
    config["value"].g_down_every = 3
    whole = build_runner(copy.deepcopy(config), tmp_path / "whole", seed=0)
    whole.train()
    part = build_runner(copy.deepcopy(config), tmp_path / "part", seed=0)
    progress = part.train_loop.budget.progress
    part.train_loop.budget.progress = lambda step: 1.0 if step == 4 else progress(step)  # stops as if killed
    part.train()
    resumed = build_runner(copy.deepcopy(config), tmp_path / "part", seed=0, resume=True)
    resumed.train()
    assert torch.equal(phi(whole), phi(resumed))


@pytest.mark.slow
def test_a_frozen_designer_keeps_what_another_run_learned(designed_config, tmp_path):
    first = build_runner(copy.deepcopy(designed_config), tmp_path / "first", seed=0)
    first.train()
    for key in ("feedback", "value", "designer_optimizer"):
        designed_config.pop(key)
    designed_config.designer_checkpoint = str(tmp_path / "first/checkpoint.pth")
    second = build_runner(designed_config, tmp_path / "second", seed=1)
    second.train()
    assert torch.equal(phi(first), phi(second))


@pytest.mark.slow
def test_in_bf16_heads_are_fitted_as_in_fp32(designed_config, tmp_path):
    """Autocast keeps casts of weights while it is open: held open over steps, heads would never seem to learn."""
    losses = {}
    for precision in ("fp32", "bf16"):
        config = copy.deepcopy(designed_config)
        config.precision = precision
        config.feedback.first_head_steps = 60
        config["value"].estimator = dict(type="vssl.value.double_backward")
        train(config, tmp_path / precision)
        first = json.loads((tmp_path / precision / "metrics.jsonl").read_text().splitlines()[0])
        losses[precision] = first["feedback_loss/segmentation"]
    assert losses["bf16"] == pytest.approx(losses["fp32"], rel=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["unet", "global"])
def test_in_bf16_differences_are_what_double_backward_gives(designed_config, tmp_path, name):
    """The tail is in fp32, so that what is left between estimators is what is left in fp32."""
    gradients = {}
    for estimator, precision in product(
        ("double_backward", "central_difference", "forward_difference"), CHOICES["precision"]
    ):
        config = with_designer(designed_config, name)
        config.precision = precision
        config["value"].estimator = dict(type=f"vssl.value.{estimator}")
        runner = build_runner(config, tmp_path / f"{estimator}_{precision}", seed=0)
        runner.learner.train()
        runner.train_loop.update_designer()
        gradients[estimator, precision] = [p.grad for p in runner.train_loop.designer.parameters()]
    exact = gradients["double_backward", "bf16"]
    for estimator in ("central_difference", "forward_difference"):
        assert float(cosine(gradients[estimator, "bf16"], exact)) > 0.999
    assert float(cosine(exact, gradients["double_backward", "fp32"])) > 0.95  # what bf16 in the trunk and g_down costs


@pytest.mark.slow
def test_with_dino_a_policy_learns_the_local_crops_too(designed_config, tmp_path):
    designed_config.merge_from_dict(
        dict(
            objective=dict(_delete_=True, type="vssl.objectives.DINO", n_local_crops=2, out_dim=16, hidden_dim=16,
                           bottleneck_dim=8),
            recipe=dict(n_local=2, local_size=16),
            designer=dict(_delete_=True, type="vssl.designers.GlobalPolicy"),
        )
    )  # fmt: skip
    runner = build_runner(designed_config, tmp_path / "run", seed=0)
    groups = list(runner.train_loop.designer.raw)  # one row of parameters for the global crops, one for the local ones
    before = [row.detach().clone() for row in groups]
    runner.train()
    assert len(groups) == 2
    assert not any(torch.equal(old, new) for old, new in zip(before, groups, strict=True))


def test_burn_in_period_and_freezing_say_when(designed_config, tmp_path):
    designed_config["value"].update(burn_in=3, period=4, freeze_after=12)
    update = build_runner(designed_config, tmp_path / "run", seed=0).train_loop.designer_update
    assert [step for step in range(20) if update.due(step)] == [3, 7, 11]


def test_parts_of_a_designer_have_their_own_learning_rates(designed_config, tmp_path):
    config = with_designer(designed_config, "masked")
    config.designer_learning_rates = dict(policy=0.5)
    runner = build_runner(config, tmp_path / "run", seed=0)
    optimizer, designer = runner.train_loop.designer_update.optimizer, runner.train_loop.designer
    rate = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    assert {rate[id(p)] for p in designer.policy.parameters()} == {0.5}
    assert {rate[id(p)] for p in designer.mask.parameters()} == {config.designer_optimizer.lr}
    config.designer_learning_rates = dict(polcy=0.5)
    with pytest.raises(ConfigError, match=r"names \['polcy'\]; the parts of MaskedPolicy are \['policy', 'mask'\]"):
        build_runner(config, tmp_path / "other", seed=0)


@pytest.mark.slow
def test_meta_steps_share_a_g_down(designed_config, tmp_path, monkeypatch):
    designed_config["value"].update(g_down_every=2, burn_in=1, period=1)
    runner = build_runner(designed_config, tmp_path / "run", seed=0)
    update, taken, worth = runner.train_loop.designer_update, [], []
    gradients, descend = update.feedback.gradients, update._descend
    monkeypatch.setattr(update.feedback, "gradients", lambda *a: taken.append(a[1]) or gradients(*a))
    monkeypatch.setattr(update, "_descend", lambda images, g, *a: worth.append(g) or descend(images, g, *a))
    runner.train()
    assert taken == [1, 3, 5]
    assert worth[0] is worth[1] and worth[1] is not worth[2]


@pytest.mark.slow
def test_warmup_raises_the_designers_learning_rate(designed_config, tmp_path):
    designed_config["value"].update(warmup=4, period=1)
    designed_config.log_interval = 1
    train(designed_config, tmp_path / "run")
    rates = [json.loads(line)["designer_lr"] for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert rates == pytest.approx([0.0025, 0.005, 0.0075, 0.01, 0.01, 0.01])


@pytest.mark.slow
def test_the_bound_takes_the_learning_rate_of_s_and_not_of_the_head(designed_config, tmp_path):
    designed_config["value"].rule = dict(type="vssl.value.Bound", learning_rate=1.0, smoothness=1.0)
    designed_config.schedule.head_share = 0.8  # the last meta step is at 4 of 6 steps
    runner = build_runner(designed_config, tmp_path / "run", seed=0)
    runner.train()
    assert runner.train_loop.designer_update.rule.learning_rate == 0


def test_impossible_designers_are_refused(designed_config, tmp_path):
    wrong = with_designer(designed_config, "search")
    wrong.designer_optimizer = designed_config.designer_optimizer
    with pytest.raises(ConfigError, match="CandidateSearch steps itself"):
        train(wrong, tmp_path / "run")
    designed_config.designer = dict(type="vssl.designers.Identity")
    with pytest.raises(ConfigError, match="Identity has no parameters"):
        train(designed_config, tmp_path / "run")
    designed_config.designer_optimizer = None
    with pytest.raises(ConfigError, match="neither change nor measure anything"):
        train(designed_config, tmp_path / "run")


@pytest.mark.slow
def test_a_policy_of_gates_alone_learns(designed_config, tmp_path):
    designed_config.designer = dict(type="vssl.designers.GlobalPolicy", learn=("grayscale",))
    runner = build_runner(designed_config, tmp_path / "run", seed=0)
    runner.train()
    (row,) = runner.train_loop.designer.raw
    gate = len(row[0]) - len(runner.train_loop.designer.recipe.plans[0].gates) + 2
    assert runner.train_loop.designer.recipe.plans[0].gates[2] == "grayscale"
    assert row[0, gate] != 0


def dino(config):
    objective = dict(_delete_=True, type="vssl.objectives.DINO", n_local_crops=0, out_dim=16, hidden_dim=16,
                     bottleneck_dim=8, flow_through_teacher=True)  # fmt: skip
    config.merge_from_dict(dict(objective=objective, designer=dict(_delete_=True, type="vssl.designers.GlobalPolicy")))
    return config


@pytest.mark.slow
@pytest.mark.parametrize("penalty", ["recognisability", "norm_growth"])
def test_penalties_that_need_the_loop_change_what_is_learned(designed_config, tmp_path, monkeypatch, penalty):
    # ‖g_pre‖ of the constructed views is above half of the base views', whatever the weights that torch draws
    halved = lambda rule, weight, reference: NormGrowth(rule, weight, reference / 2)  # noqa: E731
    monkeypatch.setattr("vssl.engine.designer_update.NormGrowth", halved)
    learned = {}
    for weight in (0.0, 100.0):
        config = dino(copy.deepcopy(designed_config))
        config["value"][penalty] = weight
        runner = build_runner(config, tmp_path / f"run{weight}", seed=0)
        runner.train()
        learned[weight] = phi(runner)
    assert learned[100.0].isfinite().all() and not torch.equal(learned[0.0], learned[100.0])


def test_recognisability_needs_a_teacher(designed_config, tmp_path):
    designed_config["value"].recognisability = 0.1
    with pytest.raises(ValueError, match="SimCLR has none; set it to 0"):
        build_runner(designed_config, tmp_path / "run", seed=0)
    designed_config["value"].update(recognisability=0.0, norm_growth=-1)
    with pytest.raises(ValueError, match="norm_growth=-1"):
        build_runner(designed_config, tmp_path / "run", seed=0)


WEIGHED = dict(
    objective=dict(
        _delete_=True, type="vssl.objectives.MAE", decoder_dim=16, decoder_depth=1, decoder_heads=2,
        target=[dict(type="vssl.objectives.targets.Pixels"), dict(type="vssl.objectives.hog.HOG")],
    ),
    recipe=dict(n_global=1),
    designer=dict(_delete_=True, type="vssl.designers.LossWeights", components=dict(pixels=1.0, hog=1.0)),
)  # fmt: skip


def test_credit_is_the_slope_of_the_value_in_each_weight(designed_config, tmp_path):
    """∂V/∂w_k as the meta step has it, against the value of steps with other weights."""
    designed_config.merge_from_dict(copy.deepcopy(WEIGHED))
    designed_config["value"].rule = dict(type="vssl.value.Dot")
    runner = build_runner(designed_config, tmp_path / "run", seed=0)
    loop, update = runner.train_loop, runner.train_loop.designer_update
    runner.learner.train()
    images, draws = loop.meta_stream.next()[0], loop.draws
    update._feed_back(0, loop.autocast)
    g_down, _ = update._downstream
    construction = loop.designer(images, draws("meta views"))
    update._backward(construction, None, g_down, draws, loop.autocast)

    for name in ("pixels", "hog"):  # V is linear in the weights
        construction.loss_weights = {"pixels": 0.0, "hog": 0.0, name: 1.0}
        g_pre = update.step_gradient(construction, draws("meta objective"), loop.autocast)
        value = float(update.rule(g_down, g_pre, update.preconditioner).value)
        # the product of two nearly orthogonal gradients: rounding is relative to their lengths
        rounding = 1e-5 * float(norm(g_down) * norm(g_pre))
        assert float(update.credit[name]) == pytest.approx(value, abs=rounding)


WEIGHED_IBOT = dict(
    objective=dict(
        _delete_=True, type="vssl.objectives.IBOT", n_local_crops=2, out_dim=16, hidden_dim=16, bottleneck_dim=8
    ),
    recipe=dict(n_local=2, local_size=16),
    designer=dict(_delete_=True, type="vssl.designers.LossWeights", components=dict(cls=1.0, patch=1.0)),
)

WEIGHED_PAIRS = copy.deepcopy(WEIGHED_IBOT)
WEIGHED_PAIRS["objective"].update(type="vssl.objectives.DINO", crop_pairs=True)
WEIGHED_PAIRS["designer"].update(components=dict(global_pairs=1.0, local_pairs=1.0))
WEIGHED_LAYERS = dict(
    objective=dict(
        _delete_=True, type="vssl.objectives.IJEPA", predictor_dim=16, predictor_depth=1, predictor_heads=2, min_keep=0,
        target_layers=[1, 3],
    ),
    recipe=dict(n_global=1),
    designer=dict(_delete_=True, type="vssl.designers.LossWeights", components=dict(layer1=1.0, layer3=1.0)),
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(
    "weighed", [WEIGHED, WEIGHED_IBOT, WEIGHED_PAIRS, WEIGHED_LAYERS], ids=["mae", "ibot", "pairs", "layers"]
)
def test_the_gradient_of_loss_weights_is_the_slope_of_the_value(designed_config, tmp_path, weighed):
    """−∂V/∂φ, whether an objective makes its weights add up to 1 (MAE) or has local crops beside (iBOT)."""
    designed_config.merge_from_dict(copy.deepcopy(weighed))
    designed_config["value"].rule = dict(type="vssl.value.Dot")
    runner = build_runner(designed_config, tmp_path / "run", seed=0)
    loop, update, designer = runner.train_loop, runner.train_loop.designer_update, runner.train_loop.designer
    runner.learner.train()
    images, draws = loop.meta_stream.next()[0], loop.draws
    update._feed_back(0, loop.autocast)
    g_down, _ = update._downstream

    def value_at(shift):
        with torch.no_grad():
            designer.shift[0] = shift
        g_pre = update.step_gradient(designer(images, draws("meta views")), draws("meta objective"), loop.autocast)
        return update.rule(g_down, g_pre, update.preconditioner).value, float(norm(g_down) * norm(g_pre))

    (ahead, _), (behind, length) = value_at(0.3 + 0.05), value_at(0.3 - 0.05)
    value_at(0.3)
    update._backward(designer(images, draws("meta views")), None, g_down, draws, loop.autocast)
    assert float(-designer.shift.grad[0]) == pytest.approx(float(ahead - behind) / 0.1, rel=1e-2, abs=1e-4 * length)


@pytest.mark.slow
def test_learned_weights_are_those_that_the_learner_is_trained_with(designed_config, tmp_path):
    designed_config.merge_from_dict(copy.deepcopy(WEIGHED))
    runner = build_runner(designed_config, tmp_path / "run", seed=0)
    runner.train()
    shares = runner.train_loop.designer.eval()(torch.rand(2, 3, 32, 32), Draws(0, "x")).loss_weights
    assert shares != {"hog": 1.0, "pixels": 1.0}
    log = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert {"credit/pixels", "credit/hog", "weight/pixels", "weight/hog"} <= log[-1].keys()
    whole, resumed = phi(runner), build_runner(designed_config, tmp_path / "run", seed=0, resume=True)
    assert torch.equal(whole, phi(resumed))


def test_weights_that_are_not_the_objectives_are_refused(designed_config, tmp_path):
    designed_config.merge_from_dict(copy.deepcopy(WEIGHED))
    designed_config.designer.components = dict(pixels=3.0, hog=1.0)
    with pytest.raises(ValueError, match="but the objective's components weigh"):
        build_runner(designed_config, tmp_path / "run", seed=0)


def test_the_gradient_of_image_weights_is_the_slope_of_the_value(designed_config, tmp_path, assert_slope):
    config = with_designer(designed_config, "images")
    config["value"].rule = dict(type="vssl.value.Dot")
    runner = build_runner(config, tmp_path / "run", seed=0)
    assert_slope(runner, rel=0.02)


def test_image_weights_need_a_loss_of_each_image(designed_config, tmp_path, monkeypatch):
    monkeypatch.setattr("vssl.objectives.SimCLR.weighs_images", False)
    with pytest.raises(ConfigError, match="SimCLR has one for the whole batch"):
        build_runner(with_designer(designed_config, "images"), tmp_path / "run", seed=0)


def test_the_learner_is_the_recipes_until_image_weights_move(designed_config, tmp_path):
    """Then its loss is that of the weights."""
    runner = build_runner(with_designer(designed_config, "images"), tmp_path / "run", seed=0)
    loop, learner = runner.train_loop, runner.learner
    images, designer = loop.stream.next()[0], loop.designer
    learner.eval()

    def loss(kind):
        construction = kind(images, loop.draws("views"))
        return learner(construction.views.detach(), loop.draws("objective"), construction.image_weights)[0]

    fixed = loss(Identity(designer.recipe))
    assert torch.equal(loss(designer), fixed)
    with torch.no_grad():
        designer.head.weight.normal_()
    assert not torch.equal(loss(designer), fixed)
