"""Rollouts: what they are worth, that they leave no trace, and the designers that learn by them."""

import copy
import json
from itertools import pairwise

import pytest
import torch

from vssl.designers import GlobalPolicy, Identity
from vssl.draws import Draws
from vssl.engine import ConfigError
from vssl.engine.checkpoint import random_state
from vssl.engine.rollout import Course, Rollouts, Trial, Valuation, progress_ahead
from vssl.engine.rollout_credit import credit_of_rollouts, one_step_of
from vssl.engine.training import build_runner, train
from vssl.views import MultiCrop

DINO = dict(
    _delete_=True,
    type="vssl.objectives.DINO",
    n_local_crops=2,
    out_dim=16,
    hidden_dim=16,
    bottleneck_dim=8,
    freeze_last_layer_steps=1,
    warmup_share=1.0,
)
MAE = dict(_delete_=True, type="vssl.objectives.MAE", decoder_dim=16, decoder_depth=1, decoder_heads=2)
BANDS = dict(type="vssl.objectives.bands.Bands")
FEATURES = dict(type="vssl.objectives.targets.Features")
OBJECTIVES = {"simclr": {}, "mae": dict(MAE, target=[BANDS, FEATURES]), "dino": DINO}


def with_horizon(config, **value):
    """The engine's small run, valued by rollouts of 2 steps at steps 1, 3 and 5."""
    config.feedback.evaluator, config.snapshots, config.sample_views = "ridge", 0, 0
    config["value"].update(dict(horizon=2, halvings=0, period=2, burn_in=1) | value)
    return config


def of_objective(config, name):
    if OBJECTIVES[name]:
        recipe = dict(n_global=1) if name == "mae" else dict(n_local=2, local_size=16)
        config.merge_from_dict(dict(objective=copy.deepcopy(OBJECTIVES[name]), recipe=recipe))
    config.backbone.drop_path_rate = 0.2  # draws from the global generator at every step
    return config


def everything(loop):
    """All that the next steps depend on."""
    return copy.deepcopy(
        {
            "learner": loop.learner.state_dict(),
            "optimizer": loop.learner_step.optimizer.state_dict(),
            "designer": loop.designer.state_dict(),
            "stream": loop.stream.state_dict(),
            "random": random_state(),
            "objective": {k: v for k, v in vars(loop.learner.objective).items() if isinstance(v, (int, float, dict))},
            "training": [module.training for module in loop.learner.modules()],
        }
    )


def assert_same(a, b, where=""):
    if isinstance(a, dict):
        assert a.keys() == b.keys(), where
        for key in a:
            assert_same(a[key], b[key], f"{where}.{key}")
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b), where
        for i, pair in enumerate(zip(a, b, strict=True)):
            assert_same(*pair, f"{where}.{i}")
    elif isinstance(a, torch.Tensor):
        assert torch.equal(a, b), where
    elif not isinstance(a, torch.nn.Module):
        assert a == b, where


def begun(config, tmp_path, steps=2):
    """A run that has taken some steps: moments, centres and teachers are not at their starts."""
    loop = build_runner(config, tmp_path / "run", seed=0).train_loop
    loop.learner.train()
    loop.budget.start()
    for _ in range(steps):
        loop.run_iter(loop.budget.progress(loop.step))
        loop.step += 1
    return loop


def rollouts_of(loop, steps, courses=1):
    """Rollouts from where a run stands, on images of its stream."""
    feedback, student = loop.designer_update.feedback, loop.learner.student
    feedback.fit_heads(student)
    weights = {"segmentation": 1.0, "depth": 1.0}
    valuation = Valuation(feedback, student, weights, loop.autocast, feedback.next_heldout())
    progress = progress_ahead(loop.budget, loop.step, steps)
    return Rollouts(
        [
            Course(
                loop.learner_step,
                [loop.meta_stream.next()[0] for _ in range(steps)],
                lambda purpose, number, n=n: loop.draws(f"{purpose} {number} {n}"),
                loop.step,
                progress,
            )
            for n in range(courses)
        ],
        valuation,
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_run_goes_on_as_if_a_rollout_had_never_been(designed_config, tmp_path, name):
    config = of_objective(with_horizon(designed_config, burn_in=100), name)
    loop = begun(config, tmp_path)
    before = everything(loop)
    rollouts = rollouts_of(loop, 3)
    for construct in (loop.designer, Identity(loop.designer.recipe)):
        rollouts.value(construct, 3)
    assert_same(before, everything(loop))
    for _ in range(2):
        loop.run_iter(loop.budget.progress(loop.step))
        loop.step += 1
    other = begun(copy.deepcopy(config), tmp_path / "other", steps=4)
    assert_same(everything(other), everything(loop))


@pytest.mark.slow
@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_rollout_is_what_the_run_would_do(designed_config, tmp_path, name):
    """With the run's own batches and random numbers, a trial's weights are those that the run comes to."""
    config = of_objective(with_horizon(designed_config, burn_in=100), name)
    config.backbone.drop_path_rate = 0.0
    loop = begun(config, tmp_path)
    stream = copy.copy(loop.stream)
    stream.load_state_dict(loop.stream.state_dict())
    batches, start = [stream.next()[0] for _ in range(2)], loop.step

    def draws(purpose, number):
        return Draws(loop.seed, purpose, start + number)

    course = Course(loop.learner_step, batches, draws, start, progress_ahead(loop.budget, start, 2))
    trial = Trial(course, loop.designer).advance(2)
    for _ in range(2):
        loop.run_iter(loop.budget.progress(loop.step))
        loop.step += 1
    assert_same(trial._learner_step.learner.state_dict(), loop.learner.state_dict())
    assert_same(trial._learner_step.optimizer.state_dict(), loop.learner_step.optimizer.state_dict())


@pytest.mark.slow
def test_equal_constructions_have_equal_values_and_others_do_not(designed_config, tmp_path):
    loop = begun(of_objective(with_horizon(designed_config, burn_in=100), "simclr"), tmp_path)
    rollouts = rollouts_of(loop, 2, courses=2)
    recipe = loop.designer.recipe
    whole = MultiCrop(32, global_scale=(1.0, 1.0), ratio=(1.0, 1.0), jitter=None, grayscale=0.0, blur=None)
    first, again, same = (
        rollouts.value(make, 2) for make in (Identity(recipe), Identity(recipe), GlobalPolicy(recipe))
    )
    assert first == again == same and first != rollouts.value(Identity(whole), 2)
    halfway = rollouts.value(Identity(recipe), 1, key="kept", keep=True)
    assert rollouts.value(Identity(recipe), 2, key="kept") == first != halfway
    assert rollouts.value(Identity(recipe), 0) == 0


def test_a_learner_that_diverges_explains_nothing(designed_config, tmp_path):
    loop = begun(with_horizon(designed_config, burn_in=100), tmp_path)
    rollouts = rollouts_of(loop, 2)
    before = rollouts.valuation.before

    def broken(images, draws):
        return loop.designer(images * float("nan"), draws)

    assert rollouts.value(broken, 2) == pytest.approx(float(sum(before.values())) / 2 - 1)


@pytest.mark.slow
@pytest.mark.parametrize(
    "designer",
    ["GlobalPolicy", "persistent GlobalPolicy", "credited GlobalPolicy", "CandidateSearch", "ImageWeights"],
)
def test_designers_learn_by_rollouts_and_resume_exactly(designed_config, tmp_path, designer, cut_short):
    config = with_horizon(designed_config, pairs=2, rollouts=2, candidates=3)
    if designer.startswith("persistent"):  # meta steps at 1, 3 and 5; the checkpoint of step 4 is in the midst of them
        config["value"].update(rollouts=1, unrolls=3)
    if designer.startswith("credited"):
        config["value"].control_variate = "end"
    config.designer = dict(type=f"vssl.designers.{designer.split()[-1]}")
    if designer == "CandidateSearch":
        config.designer_optimizer = None
    whole = build_runner(copy.deepcopy(config), tmp_path / "whole", seed=0)
    start = copy.deepcopy(whole.train_loop.designer.state_dict())
    whole.train()
    moved = [not torch.equal(start[name], now) for name, now in whole.train_loop.designer.state_dict().items()]
    assert any(moved)
    part = build_runner(copy.deepcopy(config), tmp_path / "part", seed=0)
    cut_short(part, 5)  # the last checkpoint is of step 4
    resumed = build_runner(copy.deepcopy(config), tmp_path / "part", seed=0, resume=True)
    resumed.train()
    assert_same(everything(whole.train_loop), everything(resumed.train_loop))
    log = [json.loads(line) for line in (tmp_path / "whole/metrics.jsonl").read_text().splitlines()]
    assert {"value", "feedback_loss/depth", "time/rollout", "time/feedback"} <= log[-1].keys()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("designer", "control_variate", "steps"),
    [
        ("GlobalPolicy", None, 2 * 4 * 8 * 3),
        ("GlobalPolicy", "start", 2 * 4 * 8 * 3),
        ("GlobalPolicy", "end", (2 * 4 + 1) * 8 * 3),
        ("CandidateSearch", None, 3 * (5 * 2 + 3 * 2 + 2 * 4)),
    ],
)
def test_a_meta_step_takes_as_many_learner_steps_as_it_says(
    designed_config, tmp_path, monkeypatch, designer, control_variate, steps
):
    value = dict(horizon=8, halvings=2, rollouts=3, candidates=5, pairs=4, period=100, control_variate=control_variate)
    config = with_horizon(designed_config, **value)
    config.designer = dict(type=f"vssl.designers.{designer}")
    if designer == "CandidateSearch":
        config.designer_optimizer = None
    with pytest.warns(UserWarning, match=f"rollouts will take {steps} learner steps, the run itself 6"):
        loop = build_runner(config, tmp_path / "run", seed=0).train_loop
    taken = []
    monkeypatch.setattr(Course, "take", lambda self, learner_step, construct, number: taken.append(number))
    loop.update_designer()
    assert len(taken) == steps == loop.designer_update.learner_steps()


@pytest.mark.slow
def test_the_paper_is_horizon_zero(designed_config, tmp_path):
    plain = build_runner(copy.deepcopy(designed_config), tmp_path / "plain", seed=0)
    plain.train()
    designed_config["value"].update(horizon=0, pairs=7, sigma=3.0)
    zero = build_runner(designed_config, tmp_path / "zero", seed=0)
    zero.train()
    assert_same(everything(plain.train_loop), everything(zero.train_loop))


@pytest.mark.slow
@pytest.mark.parametrize("horizon", [0, 2])
def test_a_choice_among_targets_is_taken_and_kept(designed_config, tmp_path, horizon):
    """The best target is found, by one step or by rollouts, and the learner is trained on it from then on."""
    config = of_objective(with_horizon(designed_config, horizon=horizon, burn_in=2, period=100, halvings=1), "mae")
    config.designer_optimizer = None
    options = {name: dict(loss_weights={name: 1.0}) for name in ("luma0", "chroma1", "features")}
    config.designer = dict(type="vssl.designers.Choice", options=options)
    runner = build_runner(config, tmp_path / "run", seed=0)
    runner.train()
    loop = runner.train_loop
    chosen = loop.designer.names[int(loop.designer.chosen)]
    assert loop.learner.objective.weights == {n: float(n == chosen) for n in loop.learner.objective.components}
    log = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    if horizon:
        assert len({log[1][f"value/{name}"] for name in options}) == 3  # the meta step is at 2
    assert log[-1][f"choice/{chosen}"] == 1.0
    resumed = build_runner(copy.deepcopy(config), tmp_path / "run", seed=0, resume=True).train_loop
    assert resumed.designer.chosen == loop.designer.chosen


@pytest.mark.slow
@pytest.mark.parametrize("halvings", [0, 1])
def test_negated_feedback_takes_the_worst(designed_config, tmp_path, halvings):
    chosen = {}
    for control in (None, "negated"):
        value = dict(burn_in=2, period=100, halvings=halvings)
        config = of_objective(with_horizon(copy.deepcopy(designed_config), **value), "mae")
        config.designer_optimizer, config.feedback.control = None, control
        options = {name: dict(loss_weights={name: 1.0}) for name in ("luma0", "chroma1")}
        config.designer = dict(type="vssl.designers.Choice", options=options)
        runner = build_runner(config, tmp_path / str(control), seed=0)
        runner.train()
        chosen[control] = int(runner.train_loop.designer.chosen)
    assert sorted(chosen.values()) == [0, 1]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"feedback.evaluator": "heads"}, "feedback.evaluator is 'heads'; set it to 'ridge'"),
        ({"value.halvings": 2}, "halvings=2 leave nothing of horizon=2"),
        ({"value.directions": "cosine"}, "choose 'gaussian' or 'signs'"),
        ({"value.norm_growth": 0.1}, "value.norm_growth is a penalty on one step"),
        ({"value.combine.weights": {"depth": 1.0}}, r"weights are of"),
        ({"schedule.head_share": 0.5}, "burn_in=1: .* give at least 3"),
    ],
)
def test_what_cannot_be_valued_by_rollouts_is_refused(designed_config, tmp_path, change, message):
    config = with_horizon(designed_config)
    if "value.combine.weights" in change:
        config["value"].combine = dict(type="vssl.value.UnitNorm", weights=change["value.combine.weights"])
    else:
        config.merge_from_dict(change)
    with pytest.raises((ValueError, ConfigError), match=message):
        train(config, tmp_path / "run")
    assert not (tmp_path / "run/metrics.jsonl").exists()


@pytest.mark.parametrize(("directions", "control"), [("gaussian", None), ("signs", None), ("signs", "negated")])
def test_a_policy_climbs_the_value_of_rollouts(designed_config, tmp_path, monkeypatch, directions, control):
    """With a value that says where φ should be, antithetic pairs bring it there; φ is not left perturbed."""
    config = with_horizon(designed_config, pairs=8, sigma=0.3, directions=directions)
    config.designer = dict(type="vssl.designers.GlobalPolicy", divergence=0.0)
    config.designer_optimizer = dict(type="torch.optim.SGD", lr=0.05)
    config.feedback.control = control
    loop = build_runner(config, tmp_path / "run", seed=0).train_loop
    (row,) = loop.designer.raw
    target = torch.full_like(row, 0.2)
    monkeypatch.setattr(loop.designer, "project", lambda: None)  # φ may go beyond the ranges of its numbers here
    monkeypatch.setattr(Rollouts, "value", lambda *_: -(row - target).square().sum().detach())
    distances = [(row - target).detach().norm()]
    for loop.step in range(1, 9, 2):
        before = row.detach().clone()
        loop.update_designer()
        torch.testing.assert_close(row, before - 0.05 * row.grad)
        distances.append((row - target).detach().norm())
    away = [b > a for a, b in pairwise(distances)]
    assert all(away) if control else not any(away)


@pytest.mark.slow
def test_the_share_of_hidden_patches_is_learned_by_rollouts_and_resumes(designed_config, tmp_path):
    config = with_horizon(designed_config, pairs=2, sigma=0.3)
    objective = dict(_delete_=True, type="vssl.objectives.MAE", mask_ratio=0.5, decoder_dim=16, decoder_depth=1)
    config.merge_from_dict(dict(objective=dict(objective, decoder_heads=2), recipe=dict(n_global=1)))
    config.designer = dict(type="vssl.designers.MaskRatio", start=0.5)
    with pytest.raises(ValueError, match=r"leaves 0 of 16 .*or the bounds of the designer"):
        build_runner(copy.deepcopy(config), tmp_path / "too_far", seed=0)
    config.designer.bounds = (0.1, 0.9)
    config.designer_optimizer = dict(type="torch.optim.SGD", lr=1.0)
    runner = build_runner(copy.deepcopy(config), tmp_path / "run", seed=0)
    runner.train()
    learned = runner.train_loop.designer.mask_ratio
    assert learned != 0.5
    last = json.loads((tmp_path / "run/metrics.jsonl").read_text().splitlines()[-1])
    assert 0 < last["mask_ratio"] < 1
    resumed = build_runner(copy.deepcopy(config), tmp_path / "run", seed=0, resume=True)
    assert resumed.train_loop.designer.mask_ratio == learned

    config["value"].horizon = 0
    with pytest.raises(ConfigError, match="MaskRatio has no gradient: set value"):
        build_runner(config, tmp_path / "other", seed=0)


@pytest.mark.slow
def test_persistent_pairs_go_on_and_begin_anew(designed_config, tmp_path):
    """Unperturbed learners of a persistent pair are where as many more steps of the run's own kind would bring them."""
    config = with_horizon(designed_config, pairs=1, unrolls=2, sigma=1e-30, period=1, burn_in=0)
    config.designer = dict(type="vssl.designers.GlobalPolicy")
    update = (loop := build_runner(config, tmp_path / "run", seed=0).train_loop).designer_update
    loop.learner.train()
    update.designer.requires_grad_(True)
    start = copy.deepcopy(loop.learner.state_dict())
    distances = []
    for _ in range(3):
        loop.update_designer()
        one, two = (trial.student.state_dict() for trial in update.persistent._trials.values())
        assert all(torch.equal(one[name], two[name]) for name in one)
        distances.append(sum((one[n] - start[f"student.{n}"]).abs().sum().item() for n in one))
    assert distances[1] > 1.2 * distances[0] and distances[2] < distances[1]
    assert all(torch.equal(start[name], now) for name, now in loop.learner.state_dict().items())


@pytest.mark.slow
@pytest.mark.parametrize("at", ["start", "end"])
def test_credit_of_a_rollout_is_the_slope_of_what_its_steps_are_worth(designed_config, tmp_path, at):
    """Of the weights of MAE's two targets, by central differences; and the run does not notice."""
    config = with_horizon(of_objective(designed_config, "mae"), burn_in=100)
    kind = "vssl.objectives.targets.Pixels"
    config.objective.target = [dict(type=kind), dict(type=kind, normalize=False)]
    config.backbone.drop_path_rate = 0.0  # its draws are others at each look
    config.designer = dict(type="vssl.designers.LossWeights", components=dict(pixels=1.0, raw_pixels=1.0))
    loop = begun(config, tmp_path)
    feedback, designer = loop.designer_update.feedback, loop.designer
    rollouts = rollouts_of(loop, 2)
    before = everything(loop)
    found = credit_of_rollouts(rollouts.courses, rollouts.valuation, designer, feedback, loop.autocast, at)
    assert_same(everything(loop), before)

    (course,) = rollouts.courses
    trial = Trial(course, designer).advance(2 if at == "end" else 0)
    g_down = rollouts.valuation.gradient(trial.student, loop.step)
    one_step = one_step_of(trial.learner_step, designer, feedback)

    def worth(number, shift):
        with torch.no_grad():
            designer.shift[number] += shift
            made = [designer(images, course.draws("views", i)) for i, images in enumerate(course.batches)]
            designer.shift[number] -= shift
        steps = [one_step.step_gradient(m, course.draws("objective", i), loop.autocast) for i, m in enumerate(made)]
        return sum(float(one_step.rule(g_down, step, one_step.preconditioner).value) for step in steps) / len(steps)

    slopes = [(worth(number, 0.05) - worth(number, -0.05)) / 0.1 for number in (0, 1)]
    assert found.tolist() == pytest.approx(slopes, rel=0.02) and abs(slopes[0]) > 1e-3


@pytest.mark.slow
def test_the_first_meta_step_with_a_control_variate_is_that_without(designed_config, tmp_path):
    """Nothing is known of what credit predicts yet. Later ones differ."""
    ends = []
    for control_variate in (None, "start"):
        config = with_horizon(copy.deepcopy(designed_config), pairs=2, control_variate=control_variate)
        config.designer = dict(type="vssl.designers.GlobalPolicy")
        loop = begun(config, tmp_path / str(control_variate), steps=1)
        moved = []
        for loop.step in (1, 3, 5):
            loop.update_designer()
            moved.append(copy.deepcopy(loop.designer.state_dict()))
        ends.append((moved, everything(loop)["learner"]))
    (without, learner), (credited, same) = ends
    assert_same(without[0], credited[0])
    assert_same(learner, same)
    assert any(not torch.equal(without[2][name], credited[2][name]) for name in without[2])


def test_a_control_variate_needs_pairs_and_a_gradient(designed_config, tmp_path):
    for designer, value, told in [
        ("GlobalPolicy", dict(control_variate="mean"), "control_variate='mean'; choose 'start' or 'end'"),
        ("GlobalPolicy", dict(control_variate="start", unrolls=2), "with unrolls=2 and GlobalPolicy"),
        ("CandidateSearch", dict(control_variate="start"), "and CandidateSearch: it needs pairs"),
    ]:
        config = with_horizon(copy.deepcopy(designed_config), **value)
        config.designer = dict(type=f"vssl.designers.{designer}")
        if designer == "CandidateSearch":
            config.designer_optimizer = None
        with pytest.raises(ValueError, match=told):
            build_runner(config, tmp_path / "run", seed=0)


def test_persistent_pairs_need_pairs(designed_config, tmp_path):
    config = with_horizon(designed_config, unrolls=2, rollouts=2)
    config.designer = dict(type="vssl.designers.GlobalPolicy")
    with pytest.raises(ValueError, match="above 1 rollouts=1"):
        build_runner(config, tmp_path / "run", seed=0)
