"""The one-step probe of text: does the predicted drop of the answers' loss happen? It is the probe of images."""

import copy
import json

import pytest
import torch

pytest.importorskip("transformers")

from vssl.datasets.text import Answers
from vssl.engine.one_step import OneStepHook, _Batches, _Probed
from vssl.engine.training import build_runner
from vssl.language import AnswerPool


@pytest.fixture
def probed(config):
    config.designer = dict(type="vssl.language.WordWeights", words=140)
    config.feedback.pools.answers.heldout = 20
    config.one_step_probe = dict(interval=3)
    return config


def lines(run):
    return [json.loads(line) for line in (run / "one_step.jsonl").read_text().splitlines()]


def weights(runner):
    return torch.cat([p.detach().flatten() for p in runner.learner.parameters()])


@pytest.mark.slow
def test_a_designed_run_is_probed_and_never_notices(probed, trained, tmp_path):
    measured = trained(probed, "measured")
    rows = lines(tmp_path / "measured")
    keys = {(row["step"], row["views"], row["optimizer"], row["task"]) for row in rows}
    ways = ("designed", "base", "untrained", "flipped")
    assert keys == {(step, way, by, "answers") for step in (3, 6) for way in ways for by in ("sgd", "adamw")}
    assert len(rows) == len(keys) and all(row["predicted"] != 0 and row["realised"] != 0 for row in rows)
    plain = copy.deepcopy(probed)
    plain.pop("one_step_probe")
    assert torch.equal(weights(measured), weights(trained(plain, "plain")))


@pytest.mark.slow
def test_a_fixed_recipe_is_measured_with_feedback_that_does_nothing_else(probed, trained, tmp_path):
    fixed = copy.deepcopy(probed)
    fixed.designer = dict(type="vssl.designers.Identity")
    for key in ("value", "designer_optimizer"):
        fixed.pop(key)
    measured = trained(fixed, "measured")
    rows = lines(tmp_path / "measured")
    assert [(row["step"], row["views"]) for row in rows] == [(step, "designed") for step in (3, 3, 6, 6)]
    for key in ("feedback", "one_step_probe"):
        fixed.pop(key)
    assert torch.equal(weights(measured), weights(trained(fixed, "plain")))


@pytest.mark.slow
def test_predictions_agree_with_a_small_step(probed, tmp_path):
    """Measured on the very problems that gave g_down, the loss falls by what was predicted of a small step."""
    runner = build_runner(probed, tmp_path / "run", seed=0)
    runner.train()
    loop, hook = runner.train_loop, OneStepHook(interval=2)
    hook.start = None
    feedback = loop.designer_update.feedback
    batches = _Batches.of(loop, feedback, 4, None)
    batches.heldout.update(batches.meta)
    found = _Probed(loop, runner.optim_wrapper.optimizer, batches, feedback)
    for _, construction in hook._constructions(loop, batches.images):
        g_pre, updates = found.updates(construction)
        for update in updates.values():
            small = {name: 0.2 * change for name, change in update.items()}
            (result,) = found.outcome(small, g_pre).values()
            assert result["realised"] == pytest.approx(result["predicted"], rel=0.05, abs=5e-6)


def test_held_out_problems_give_no_gradient(problems):
    data = Answers(problems / "train.jsonl", problems)
    pool = AnswerPool(data, meta=20, meta_batch_size=5, seed=0, heldout=20)
    alone = AnswerPool(data, meta=20, meta_batch_size=5, seed=0)
    assert pool.meta.dataset.indices == alone.meta.dataset.indices == alone.indices and alone.heldout is None
    assert sorted(pool.meta.dataset.indices + pool.heldout.indices) == list(range(40))
    with pytest.raises(ValueError, match="meta=20, heldout=21: the file has 40 problems"):
        AnswerPool(data, meta=20, meta_batch_size=5, seed=0, heldout=21)
