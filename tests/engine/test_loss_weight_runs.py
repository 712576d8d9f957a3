"""`LossWeights` in a run: what it learned is the fixed recipe of another run, and its credit is told over time."""

import json

import pytest

from vssl.designers import save_loss_weights
from vssl.engine.config import build
from vssl.engine.training import build_runner, load_designer
from vssl.reports.policy.policy_page import write_policy_page


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def config(designed_config):
    """MAE with two targets."""
    config = designed_config
    config.recipe.n_global = 1
    target = [dict(type="vssl.objectives.targets.Pixels"), dict(type="vssl.objectives.hog.HOG", cell=4)]
    small = dict(decoder_dim=16, decoder_depth=1, decoder_heads=2)
    config.objective = dict(type="vssl.objectives.MAE", target=target, **small)
    config.designer = dict(type="vssl.designers.LossWeights", components=dict(pixels=1.0, hog=1.0))
    config.designer_optimizer.lr = 0.1
    return config


@pytest.mark.slow
def test_credit_is_told_from_snapshot_to_snapshot_and_a_resumed_run_tells_the_same(config, tmp_path, cut_short):
    config.snapshots = 2
    build_runner(config, tmp_path / "run", seed=0).train()
    log, policy = (lines(tmp_path / "run" / name) for name in ("metrics.jsonl", "policy.jsonl"))
    gradients = [row["gradient"] for row in policy[1:]]
    assert [gradient["meta_steps"] for gradient in gradients] == [2, 1] and "credit" not in policy[0]["gradient"]
    for name in ("pixels", "hog"):  # a meta step in each logged interval
        earned = [row[f"credit/{name}"] for row in log]
        told = [gradient["credit"]["components"][name] for gradient in gradients]
        assert [of["mean"] for of in told] == pytest.approx([(earned[0] + earned[1]) / 2, earned[2]], rel=1e-5)
        assert told[0]["se"] == pytest.approx(abs(earned[0] - earned[1]) / 2, rel=1e-4) and told[1]["se"] is None
    page = write_policy_page(tmp_path / "run").read_text(encoding="utf-8")
    assert "from one snapshot to the next" in page and "weight of hog" in page and "a network" not in page

    cut_short(build_runner(config, tmp_path / "cut", seed=0), 3)  # the last checkpoint is of step 2
    build_runner(config, tmp_path / "cut", seed=0, resume=True).train()
    assert [row["gradient"] for row in lines(tmp_path / "cut" / "policy.jsonl")][1:] == gradients


@pytest.mark.slow
def test_saved_weights_are_the_recipe_of_another_run_from_its_first_step(config, tmp_path):
    build_runner(config, tmp_path / "run", seed=0).train()
    learned = load_designer(tmp_path / "run")
    assert learned.shift.all()
    save_loss_weights(learned, tmp_path / "weights.yaml")
    config.designer = dict(type="vssl.designers.SavedLossWeights", path=str(tmp_path / "weights.yaml"))
    config.designer_optimizer = config.feedback = config["value"] = None
    runner = build_runner(config, tmp_path / "fixed", seed=0)
    runner.train()
    shares = {name: weight / 2 for name, weight in learned.learned().items()}  # as MAE counts them
    assert runner.learner.objective.component_weights() == pytest.approx(shares)
    log = lines(tmp_path / "fixed/metrics.jsonl")
    expected = pytest.approx({f"weight/{name}": weight for name, weight in learned.learned().items()})
    assert len(log) == 3 and all({key: row[key] for key in row if key.startswith("weight/")} == expected for row in log)


def test_weights_of_another_objective_are_refused_before_the_run(config, tmp_path):
    save_loss_weights(build(config.designer, build(config.recipe)), tmp_path / "weights.yaml")
    config.designer = dict(type="vssl.designers.SavedLossWeights", path=str(tmp_path / "weights.yaml"))
    config.designer_optimizer = config.feedback = config["value"] = None
    config.objective.target = dict(type="vssl.objectives.targets.Pixels")
    with pytest.raises(ValueError, match=r"weights\.yaml: MAE's loss has no component 'hog'; it has pixels"):
        build_runner(config, tmp_path / "run", seed=0)
