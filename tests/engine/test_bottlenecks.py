"""The four bottlenecks of V-Pretraining (arXiv 2601.22108): labels reach the learner through the views alone."""

import copy

import pytest
import torch

from vssl.engine.training import build_runner


def weights(runner):
    return torch.cat([p.detach().flatten() for p in runner.learner.parameters()])


def relabel(config, control):
    config = copy.deepcopy(config)
    config.feedback.control = control
    return config


@pytest.mark.slow
@pytest.mark.parametrize("control", ["shuffled_labels", "negated", "random"])
def test_without_the_designers_optimizer_labels_change_nothing(designed_config, trained, control):
    """Feedback runs in full, φ's optimizer stands still: the learner is bit-identical whatever the labels say."""
    designed_config.designer_optimizer.lr = 0.0
    one = trained(designed_config, "true")
    other = trained(relabel(designed_config, control), control)
    assert torch.equal(weights(one), weights(other))
    heads = [torch.cat([p.flatten() for p in r.train_loop.designer_update.feedback.parameters()]) for r in (one, other)]
    assert control != "shuffled_labels" or not torch.equal(*heads), "the labels did differ"


@pytest.mark.slow
@pytest.mark.parametrize("control", ["shuffled_labels", "negated"])
def test_with_it_labels_reach_the_learner(designed_config, trained, control):
    """The path labels -> g_down -> φ -> views -> learner exists: the test above is not vacuous."""
    one = trained(designed_config, "true")
    other = trained(relabel(designed_config, control), control)
    assert not torch.equal(weights(one), weights(other))


@pytest.mark.slow
def test_a_designer_that_does_not_learn_is_the_untrained_control(designed_config, trained):
    """With φ standing still, the run with feedback and the run without any feedback are the same learner."""
    designed_config.designer_optimizer.lr = 0.0
    with_feedback = trained(designed_config, "feedback")
    for key in ("feedback", "value", "designer_optimizer"):
        designed_config.pop(key)
    without = trained(designed_config, "none")
    assert torch.equal(weights(with_feedback), weights(without))


def test_a_meta_step_leaves_the_learner_alone(designed_config, tmp_path):
    """g_down is never given to the learner's optimizer: no weight, buffer or .grad of the learner moves."""
    runner = build_runner(designed_config, tmp_path / "run", seed=0)
    loop = runner.train_loop
    runner.model.train()
    before = {name: value.clone() for name, value in runner.model.state_dict().items()}
    phi = [p.clone() for p in loop.designer.parameters()]
    loop.update_designer()
    assert all(torch.equal(before[name], value) for name, value in runner.model.state_dict().items())
    assert all(p.grad is None for p in runner.model.parameters())
    assert any(not torch.equal(a, b) for a, b in zip(phi, loop.designer.parameters(), strict=True)), "φ did move"


def test_what_is_valued_is_the_learner_that_is_trained(designed_config, tmp_path):
    """The meta step sees the present student, teacher and optimizer, not copies of how they began."""
    runner = build_runner(designed_config, tmp_path / "run", seed=0)
    update = runner.train_loop.designer_update
    assert update.learner is runner.model
    assert update.preconditioner.optimizer is runner.optim_wrapper.optimizer
    before, _ = update.feedback.gradients(update.learner.student, step=0)
    with torch.no_grad():
        for parameter in runner.model.student.parameters():
            parameter.mul_(1.1)
    update.feedback.pools["depth"].meta.load_state_dict({"position": 0})
    after, _ = update.feedback.gradients(update.learner.student, step=0)
    assert not torch.allclose(before["depth"][0], after["depth"][0])


def test_the_learner_is_trained_on_detached_views(designed_config, tmp_path):
    """After a learner step φ has no gradient from it."""
    runner = build_runner(designed_config, tmp_path / "run", seed=0)
    runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    loop = runner.train_loop
    loop.designer_update = None
    seen = []
    runner.model.register_forward_pre_hook(lambda module, arguments: seen.append(arguments[0]))
    loop.run_iter(progress=0.5)
    assert not seen[0].global_crops.requires_grad
    assert all(p.grad is None for p in loop.designer.parameters())
