"""Designers of text: what they construct, what they refuse, and their meta-gradient by every estimator."""

import re
from functools import partial

import pytest
import torch

pytest.importorskip("transformers")

from vssl.draws import Draws
from vssl.language import (
    NextToken,
    NextTokens,
    SelfDistillation,
    SoftTargets,
    TokenWeights,
    UniformSmoothing,
    WordWeights,
)
from vssl.learner.learner import Learner
from vssl.value import Cosine, Dot, central_difference, double_backward, forward_difference, functional_tail

from .test_objective import tokens

LEARNED = [SoftTargets, TokenWeights, WordWeights]


@pytest.fixture
def learner(model):
    return Learner(model, NextToken(model))


def attached(learner, kind, stir=0.0, **settings):
    if kind is WordWeights:
        settings = {"words": 140, **settings}
    else:
        settings = {"candidates": 5, **({"dim": 32} if kind in LEARNED else {}), **settings}
    designer = kind(NextTokens(), **settings)
    designer.attach(learner)
    with torch.no_grad():
        for p in designer.parameters():
            p.add_(stir * torch.randn_like(p))
    return designer


@pytest.mark.parametrize("kind", [SoftTargets, UniformSmoothing, SelfDistillation])
def test_targets_are_probabilities_of_different_tokens_with_the_true_one_first(learner, kind):
    views = attached(learner, kind, stir=0.3)(tokens(), Draws(0, "views")).views
    assert torch.equal(views.candidates[..., 0], tokens()[:, 1:])
    assert all(len(set(row)) == 6 for row in views.candidates.flatten(0, 1).tolist())
    assert (views.targets >= 0).all()
    torch.testing.assert_close(views.targets.sum(-1), torch.ones(4, 12))


def test_candidates_are_the_learners_favourites(learner):
    hidden, candidates, said = attached(learner, UniformSmoothing).predict(tokens())
    logits = learner.student.logits(hidden).log_softmax(-1)
    assert torch.equal(said, logits.gather(-1, candidates))
    others = logits.scatter(-1, tokens()[:, 1:, None], -torch.inf).topk(5).indices
    assert torch.equal(candidates[..., 1:], others)


def test_controls_are_the_closed_forms(learner):
    smooth = attached(learner, UniformSmoothing, mass=0.2)(tokens(), Draws(0, "views")).views.targets
    assert torch.allclose(smooth[..., 0], torch.tensor(0.8)) and torch.allclose(smooth[..., 1:], torch.tensor(0.04))
    own = attached(learner, SelfDistillation, mass=0.2)(tokens(), Draws(0, "views")).views.targets
    _, _, said = attached(learner, SelfDistillation).predict(tokens())
    expected = 0.2 * said.softmax(-1) + 0.8 * torch.eye(6)[0]
    torch.testing.assert_close(own, expected)


def test_mass_leaves_zero_where_the_value_asks_for_it(learner):
    """The cut at 0 passes the gradient on: a designer at the start, or below, can move."""
    designer = attached(learner, SoftTargets)
    for bias in (0.0, -0.3):
        with torch.no_grad():
            designer.network[-1].bias[0] = bias
        targets = designer(tokens(), Draws(0, "views")).views.targets
        assert (targets[..., 0] == 1).all()
        (gradient,) = torch.autograd.grad(targets[..., 0].sum(), designer.network[-1].bias)
        assert gradient[0] < 0


@pytest.mark.parametrize("kind", [TokenWeights, WordWeights])
def test_weights_stay_within_their_bound(learner, kind):
    designer = attached(learner, kind, stir=20.0, bound=3.0)
    weights = designer(tokens(), Draws(0, "views")).views.token_weights
    assert weights.min() >= 1 / 3 - 1e-6 and weights.max() <= 3 + 1e-6 and weights.std() > 0.1


def test_what_comes_after_a_word_weighs_the_same_wherever_it_stands(learner):
    designer = attached(learner, WordWeights, stir=0.5)
    weights = designer(tokens(), Draws(0, "views")).views.token_weights
    torch.testing.assert_close(weights, 10 ** designer.phi[tokens()[:, :-1]].tanh())


def gradient_by(estimator, learner, designer, rule):
    params = learner.student.aligned_parameters()
    generator = torch.Generator().manual_seed(9)
    g_down = [torch.randn(p.shape, generator=generator) for p in params.values()]
    state = learner.objective.begin(
        learner.student, None, designer(tokens(), Draws(0, "views")).views, Draws(0, "objective")
    )
    tail = functional_tail(learner.objective, learner.student)
    meta = estimator(state, tail, params, partial(rule, g_down))
    designer.zero_grad()
    meta.backward(state, designer.parameters())
    return torch.cat([p.grad.flatten() for p in designer.parameters()]), meta


@pytest.mark.parametrize("kind", LEARNED)
@pytest.mark.parametrize("rule", [Dot(), Cosine()], ids=["dot", "cosine"])
def test_differences_agree_with_double_backward(learner, kind, rule):
    designer = attached(learner, kind, stir=0.2)
    exact, meta = gradient_by(double_backward, learner, designer, rule)
    assert exact.norm() > 0
    for estimator, error in ((central_difference, 0.005), (forward_difference, 0.05)):
        found, other = gradient_by(estimator, learner, designer, rule)
        assert (found - exact).norm() < error * exact.norm(), estimator.__name__
        torch.testing.assert_close(other.value, meta.value)


@pytest.mark.parametrize("kind", LEARNED)
def test_double_backward_is_the_derivative_of_the_value(learner, kind):
    """Against finite differences of the value itself, in double precision, where no mass is cut off at 0."""
    learner.double()
    designer = attached(learner, kind, stir=0.2).double()
    if kind is not WordWeights:
        with torch.no_grad():
            designer.network[-1].bias[0] = 2.0
    found, _ = gradient_by(double_backward, learner, designer, Cosine())
    direction = found / found.norm()
    start = torch.nn.utils.parameters_to_vector(designer.parameters()).detach()
    values = []
    for step in (0.01, -0.01):
        torch.nn.utils.vector_to_parameters(start + step * direction, designer.parameters())
        values.append(gradient_by(double_backward, learner, designer, Cosine())[1].value.item())
    # the gradient is of −value; the model's norms are in single precision, hence the step and the tolerance
    assert found.norm().item() == pytest.approx((values[1] - values[0]) / 0.02, rel=0.01)


def test_a_designer_leaves_the_learner_alone_and_does_not_hold_its_weights(learner):
    designer = attached(learner, SoftTargets)
    learner.train()
    designer(tokens(), Draws(0, "views"))
    assert learner.student.training and all(p.grad is None for p in learner.parameters())
    assert {name.split(".")[0] for name in designer.state_dict()} == {"network"}


@pytest.mark.parametrize(
    ("kind", "settings", "said"),
    [
        (SoftTargets, dict(most=0.0), "most=0.0 must be in (0, 1]"),
        (SoftTargets, dict(divergence=-1.0), "divergence=-1.0 0 or more"),
        (TokenWeights, dict(bound=1.0), "TokenWeights bound=1.0 must be above 1"),
        (WordWeights, dict(bound=0.5), "WordWeights bound=0.5 must be above 1"),
        (WordWeights, dict(words=0), "give the size of the vocabulary"),
        (UniformSmoothing, dict(mass=1.0), "mass=1.0 must be above 0"),
        (SelfDistillation, dict(mass=0.0), "mass=0.0 must be above 0"),
    ],
)
def test_numbers_outside_their_range_are_refused(learner, kind, settings, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        attached(learner, kind, **settings)


def test_a_designer_that_does_not_fit_the_learner_is_refused(learner):
    with pytest.raises(ValueError, match="give dim=32"):
        attached(learner, SoftTargets, dim=48).check(learner.objective)
    with pytest.raises(ValueError, match="give words=140"):
        attached(learner, WordWeights, words=160).check(learner.objective)
    many = UniformSmoothing(NextTokens(), candidates=140)
    many.attach(learner)
    with pytest.raises(ValueError, match="the vocabulary has 140 tokens"):
        many.check(learner.objective)
    with pytest.raises(RuntimeError, match=r"attach\(learner\)"):
        UniformSmoothing(NextTokens())(tokens(), Draws(0, "views"))
