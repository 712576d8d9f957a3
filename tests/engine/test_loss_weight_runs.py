"""`LossWeights` in a run: what it learned is the fixed recipe of another run."""

import json

import pytest

from vssl.designers import save_loss_weights
from vssl.engine.config import build
from vssl.engine.training import build_runner, load_designer


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
    log = [json.loads(line) for line in (tmp_path / "fixed/metrics.jsonl").read_text().splitlines()]
    expected = pytest.approx({f"weight/{name}": weight for name, weight in learned.learned().items()})
    assert len(log) == 3 and all({key: row[key] for key in row if key.startswith("weight/")} == expected for row in log)


def test_weights_of_another_objective_are_refused_before_the_run(config, tmp_path):
    save_loss_weights(build(config.designer, build(config.recipe)), tmp_path / "weights.yaml")
    config.designer = dict(type="vssl.designers.SavedLossWeights", path=str(tmp_path / "weights.yaml"))
    config.designer_optimizer = config.feedback = config["value"] = None
    config.objective.target = dict(type="vssl.objectives.targets.Pixels")
    with pytest.raises(ValueError, match=r"weights\.yaml: MAE's loss has no component 'hog'; it has pixels"):
        build_runner(config, tmp_path / "run", seed=0)
