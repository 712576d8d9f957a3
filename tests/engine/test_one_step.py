"""The one-step probe: what it predicts, what it measures, and that the run never notices."""

import copy
import json
from dataclasses import replace

import pytest
import torch
from torch.optim import AdamW

from vssl.datasets import disjoint_splits, third_split
from vssl.engine import checkpoint
from vssl.engine.config import ConfigError
from vssl.engine.one_step import OneStepHook, _Batches, _Probed
from vssl.engine.training import build_runner, train
from vssl.feedback.feedback import patch_grid
from vssl.feedback.pool import PoolPart


@pytest.fixture
def probed_config(designed_config):
    designed_config.one_step_probe = dict(interval=2)
    for pool in designed_config.feedback.pools.values():
        pool.update(train=8, meta=4, heldout=4)
    return designed_config


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def flat(state):
    """Every tensor and number of a checkpoint, by path."""
    if isinstance(state, dict):
        return {f"{k}/{name}": value for k, inner in state.items() for name, value in flat(inner).items()}
    if isinstance(state, (list, tuple)):
        return flat(dict(enumerate(state)))
    return {"": state}


def different_parts(one, other):
    """Entries of two runs' checkpoints that are not equal to the last bit; the clock's reading aside."""
    a, b = (flat(checkpoint.load(run / "checkpoint.pth")) for run in (one, other))
    assert a.keys() == b.keys() and any(key.startswith("random_states") for key in a)
    return [
        key
        for key, value in a.items()
        if not key.startswith("budget")
        and not (torch.equal(value, b[key]) if torch.is_tensor(value) else value == b[key])
    ]


@pytest.mark.slow
def test_the_run_is_left_as_it_was_to_the_last_bit(probed_config, tmp_path):
    """Weights, teacher, designer, heads, both optimizers, streams and every random generator."""
    probed = train(copy.deepcopy(probed_config), tmp_path / "probed")
    probed_config.pop("one_step_probe")
    plain = train(probed_config, tmp_path / "plain")
    assert different_parts(probed, plain) == []


@pytest.mark.slow
@pytest.mark.parametrize("evaluator", ["heads", "ridge"])
def test_a_fixed_recipe_is_measured_and_never_notices(probed_config, fixed_config, tmp_path, evaluator):
    """Feedback that only measures: the learner is that of a run without any labels, to the last bit."""
    for key in ("value", "designer_optimizer"):
        probed_config.pop(key)
    probed_config.designer = fixed_config.designer
    probed_config.feedback.evaluator = evaluator
    measured = train(copy.deepcopy(probed_config), tmp_path / "measured")
    assert different_parts(measured, train(fixed_config, tmp_path / "plain")) == []
    rows = lines(measured / "one_step.jsonl")
    keys = [(row["step"], row["views"], row["optimizer"], row["task"]) for row in rows]
    assert sorted(keys) == sorted(
        (step, "designed", optimizer, task)
        for step in (2, 4, 6)
        for optimizer in ("sgd", "adamw")
        for task in ("segmentation", "depth")
    )
    assert all(row["predicted"] != 0 and row["realised"] != 0 for row in rows)
    # what is measured at a step depends on the step alone, so that a resumed run agrees
    probed_config.one_step_probe.interval = 4
    alone = lines(train(probed_config, tmp_path / "alone") / "one_step.jsonl")
    of_step_4 = [[{k: v for k, v in r.items() if k != "seconds"} for r in of if r["step"] == 4] for of in (rows, alone)]
    assert of_step_4[0] == of_step_4[1] and len(of_step_4[0]) == 4


@pytest.mark.slow
def test_rows_hold_every_construction_optimizer_and_task(probed_config, tmp_path):
    run = train(probed_config, tmp_path / "run")
    rows = lines(run / "one_step.jsonl")
    keys = {(row["step"], row["views"], row["optimizer"], row["task"]) for row in rows}
    expected = {
        (step, views, optimizer, task)
        for step in (2, 4, 6)
        for views in ("designed", "base", "untrained", "flipped")
        for optimizer in ("sgd", "adamw")
        for task in ("segmentation", "depth")
    }
    assert keys == expected and len(rows) == len(keys)
    for row in rows:  # base SGD steps are as long as AdamW's
        if row["views"] == "base" and row["optimizer"] == "sgd":
            own = next(r for r in rows if (r["step"], r["views"], r["optimizer"]) == (row["step"], "base", "adamw"))
            assert row["update_norm"] == pytest.approx(own["update_norm"], rel=1e-4)


@pytest.fixture
def probe(probed_config, tmp_path):
    """A probe after four ordinary steps, with the run it belongs to."""
    probed_config.budget = dict(steps=4)
    runner = build_runner(probed_config, tmp_path / "run", seed=0)
    runner.train()
    loop = runner.train_loop
    feedback = loop.designer_update.feedback
    feedback.tasks.eval()
    return runner, _Probed(loop, runner.optim_wrapper.optimizer, _Batches.of(loop, feedback, 8, 1), feedback)


@pytest.mark.slow
def test_every_image_of_a_part_is_looked_at_unless_batches_says_fewer(probed_config, tmp_path, monkeypatch):
    for pool in probed_config.feedback.pools.values():
        pool.update(train=6, meta=3, heldout=5, meta_batch_size=2)
    loop = build_runner(probed_config, tmp_path / "run", seed=0).train_loop
    loop.step = 7
    feedback, seen = loop.designer_update.feedback, {}

    def remember(part, key, plain=PoolPart.__getitem__):
        seen.setdefault(id(part), set()).add(key[0])
        return plain(part, key)

    monkeypatch.setattr(PoolPart, "__getitem__", remember)
    _Batches.of(loop, feedback, 8, None)
    for pool in feedback.pools.values():
        assert seen[id(pool.meta.dataset)] == set(range(3)) and seen[id(pool.heldout)] == set(range(5))
    assert [len(of) for of in _Batches.of(loop, feedback, 8, 1).meta.values()] == [1] * len(feedback.pools)


@pytest.mark.slow
def test_predictions_agree_with_a_small_step(probe):
    """Measured on the very batch that g_down came from, the loss falls by what was predicted of a fifth of a step."""
    runner, probed = probe
    hook = OneStepHook(interval=2)
    hook.start = None
    probed.batches.heldout.update(probed.batches.meta)
    probed.before = {task: probed._losses(task) for task in probed.feedback.tasks}
    for _, construction in hook._constructions(runner.train_loop, probed.batches.images):
        # float32 losses carry about 1e-7: the step must not be smaller
        g_pre, updates = probed.updates(construction)
        update = {name: 0.2 * change for name, change in updates["sgd"].items()}
        for result in probed.outcome(update, g_pre).values():
            assert result["realised"] == pytest.approx(result["predicted"], rel=0.05, abs=2e-6)


@pytest.mark.slow
def test_the_learners_own_update_is_the_step_it_would_take(probe):
    """AdamW's update from the probe equals what its `step` does to the weights, clipping and state included."""
    runner, probed = probe
    loop, optimizer = runner.train_loop, runner.optim_wrapper.optimizer
    construction = loop.designer(probed.batches.images, loop.draws("views"))
    update = probed.updates(construction)[1]["adamw"]
    gradient = probed._ssl_gradient(construction)
    twin, twin_optimizer = copy.deepcopy(loop.learner), None
    parameters = {id(p): q for p, q in zip(loop.learner.parameters(), twin.parameters(), strict=True)}
    groups = [{**g, "params": [parameters[id(p)] for p in g["params"]]} for g in optimizer.param_groups]
    twin_optimizer = AdamW(groups)
    twin_optimizer.load_state_dict(optimizer.state_dict())
    before = {name: p.detach().clone() for name, p in twin.student.named_parameters()}
    for name, g in zip(probed.weights, gradient, strict=True):
        twin.student.get_parameter(name).grad = g.clone()
    twin_optimizer.step()
    for name, p in twin.student.named_parameters():
        torch.testing.assert_close(p - before[name], update[name], atol=1e-7, rtol=1e-3)


@pytest.mark.slow
def test_weights_of_images_and_the_share_of_hidden_patches_are_part_of_a_construction(probe):
    """What a designer chose beside the views enters the gradient, and is gone again for the next construction."""
    _, probed = probe
    plain = probed.loop.designer(probed.batches.images, probed.loop.draws("views"))
    only_one = torch.zeros(len(probed.batches.images))
    only_one[0] = 1.0
    weighted = probed.updates(replace(plain, image_weights=only_one))[0]
    asked = []
    probed.learner.objective.adopt = lambda **chosen: asked.append(chosen)
    again, hidden = probed.updates(plain)[0], probed.updates(replace(plain, mask_ratio=0.5))[0]
    assert asked == [plain.for_objective, {"loss_weights": None, "mask_ratio": 0.5}]
    assert all(torch.equal(a, b) for a, b in zip(again, hidden, strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(again, weighted, strict=True))


@pytest.mark.slow
def test_realised_drops_are_of_the_moved_copy(probe):
    """With S moved by hand, the loss on the third batch is what `outcome` says it became."""
    _, probed = probe
    update = {name: 0.01 * torch.randn_like(p) for name, p in probed.weights.items()}
    outcome = probed.outcome(update, g_pre=[update[name] for name in probed.aligned])
    student = copy.deepcopy(probed.learner.student).eval()
    with torch.no_grad():
        for name, p in student.named_parameters():
            p += update[name]
        for task, head in probed.feedback.tasks.items():
            ((images, labels),) = probed.batches.heldout[task]
            loss = float(head.loss(patch_grid(student, images, student.trunk(images)), labels))
            assert outcome[task]["loss"] - outcome[task]["realised_whole"] == pytest.approx(loss, rel=1e-5)
    assert outcome["depth"]["realised"] != outcome["depth"]["realised_whole"]


def test_flipped_views_reflect_the_designer_about_its_start(probed_config, tmp_path):
    """A policy that stands still has the base views in all four constructions; one that moved is mirrored."""
    probed_config.designer = dict(type="vssl.designers.GlobalPolicy")
    runner = build_runner(probed_config, tmp_path / "run", seed=0)
    loop, hook = runner.train_loop, OneStepHook(interval=1)
    hook.start = {name: value.clone() for name, value in loop.designer.state_dict().items()}
    images = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    still = {name: made.views for name, made in hook._constructions(loop, images)}
    assert all(torch.equal(views.global_crops, still["base"].global_crops) for views in still.values())
    with torch.no_grad():
        loop.designer.raw[0].fill_(0.5)
    moved = {name: made.views for name, made in hook._constructions(loop, images)}
    assert torch.equal(moved["untrained"].global_crops, still["base"].global_crops)
    loop.designer.raw[0].data.fill_(-0.5)
    mirrored = {name: made.views for name, made in hook._constructions(loop, images)}
    assert torch.equal(moved["flipped"].global_crops, mirrored["designed"].global_crops)
    assert not torch.equal(moved["flipped"].global_crops, moved["designed"].global_crops)


@pytest.mark.slow
def test_after_a_resume_untrained_is_still_the_designer_of_the_beginning(probed_config, tmp_path, cut_short):
    whole = lines(train(copy.deepcopy(probed_config), tmp_path / "whole") / "one_step.jsonl")
    runner = build_runner(copy.deepcopy(probed_config), tmp_path / "part", seed=0)
    cut_short(runner, 5)
    resumed = lines(train(probed_config, tmp_path / "part", resume=True) / "one_step.jsonl")
    drop_clock = [{k: v for k, v in row.items() if k != "seconds"} for row in resumed]
    assert drop_clock == [{k: v for k, v in row.items() if k != "seconds"} for row in whole]


def test_the_third_part_shares_no_image_with_the_others():
    train_part, meta_part = disjoint_splits(20, 9, 6)
    heldout_part = third_split(20, 9, 6, 5)
    assert sorted(train_part + meta_part + heldout_part) == list(range(20))
    with pytest.raises(ValueError, match=r"held-out part of 6 images.*needs 21.*has 20"):
        third_split(20, 9, 6, 6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"one_step_probe": dict(interval=0)}, "interval=0"),
        ({"one_step_probe": dict(intervall=5)}, "it takes interval, batch_size, batches"),
        ({"feedback.pools.depth.heldout": 0}, r"feedback\.pools\.depth heldout=N"),
        ({"feedback": None, "value": None, "designer_optimizer": None}, "needs feedback"),
    ],
)
def test_settings_that_cannot_work_are_refused_before_the_first_step(probed_config, tmp_path, change, message):
    for key, value in change.items():
        probed_config.merge_from_dict({key: value}) if value is not None else probed_config.pop(key)
    with pytest.raises(ConfigError, match=message):
        train(probed_config, tmp_path / "run")
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


@pytest.mark.slow
def test_the_log_has_the_cosine_between_tasks(designed_config, tmp_path):
    run = train(designed_config, tmp_path / "run")
    row = lines(run / "metrics.jsonl")[-1]
    assert -1 <= row["cosine_between/depth/segmentation"] <= 1
