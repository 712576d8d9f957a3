"""Next-token prediction with soft targets: the start bit for bit, gradients, weights, credit."""

import pytest
import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

pytest.importorskip("transformers")

from vssl.draws import Draws
from vssl.language import NextToken, NextTokens, SoftTargets, TokenViews, TokenWeights, WordWeights
from vssl.language.designers import TextDesigner
from vssl.learner.learner import Learner
from vssl.value.credit import credit
from vssl.value.metagradient import functional_components


def tokens(batch=4, length=13, vocabulary=140):
    return torch.randint(0, vocabulary, (batch, length), generator=torch.Generator().manual_seed(5))


@pytest.fixture
def learner(model):
    return Learner(model, NextToken(model))


def loss_of(learner, views):
    return learner(views, Draws(0, "objective"))[0]


def weights_after(learner, views):
    """Gradients of all weights, flattened: what a step of any optimizer is made of."""
    learner.zero_grad()
    loss_of(learner, views).backward()
    return torch.cat([p.grad.flatten() for p in learner.parameters()])


def test_without_a_designer_the_loss_is_the_models_own(learner):
    ids = tokens()
    own = learner.student.lm(input_ids=ids, labels=ids).loss
    torch.testing.assert_close(loss_of(learner, TokenViews(ids)), own, rtol=1e-6, atol=0)
    logits = learner.student.lm(input_ids=ids[:, :-1]).logits
    each = F.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="none").view(4, 12)
    state = learner.objective.begin(learner.student, None, TokenViews(ids), Draws(0, "objective"))
    ours = learner.objective.loss_components(learner.student, state)["next_token"]
    assert torch.equal(ours, each), "each token's loss, to the last bit"


@pytest.mark.parametrize(
    ("kind", "settings"),
    [(SoftTargets, {"dim": 32, "candidates": 5}), (TokenWeights, {"dim": 32}), (WordWeights, {"words": 140})],
)
def test_the_start_of_a_designer_is_next_token_prediction_bit_for_bit(learner, kind, settings):
    designer = kind(NextTokens(), **settings)
    designer.attach(learner)
    views = designer(tokens(), Draws(0, "views")).views.detach()
    plain = TokenViews(tokens())
    assert torch.equal(loss_of(learner, views), loss_of(learner, plain))
    assert torch.equal(weights_after(learner, views), weights_after(learner, plain))


def test_soft_targets_are_a_cross_entropy_over_the_whole_vocabulary(learner):
    designer = TextDesigner(NextTokens(), candidates=5)
    designer.attach(learner)
    _, candidates, _ = designer.predict(tokens())
    targets = torch.rand(candidates.shape).softmax(-1)
    dense = torch.zeros(*candidates.shape[:2], 140).scatter(-1, candidates, targets)
    logits = learner.student.lm(input_ids=tokens()[:, :-1]).logits
    expected = F.cross_entropy(logits.flatten(0, 1), dense.flatten(0, 1))
    found = loss_of(learner, TokenViews(tokens(), candidates, targets))
    torch.testing.assert_close(found, expected)


@pytest.mark.slow
def test_the_gradients_of_targets_and_weights_are_those_of_finite_differences(learner):
    learner.double()
    designer = TextDesigner(NextTokens(), candidates=3)
    designer.attach(learner)
    _, candidates, _ = designer.predict(tokens(2, 6))
    targets = torch.rand(candidates.shape, dtype=torch.float64).softmax(-1).requires_grad_()
    weights = (torch.rand(2, 5, dtype=torch.float64) + 0.5).requires_grad_()

    def loss(targets, weights):
        return loss_of(learner, TokenViews(tokens(2, 6), candidates, targets, weights))

    assert torch.autograd.gradcheck(loss, (targets, weights))
    assert torch.autograd.gradgradcheck(loss, (targets, weights))


def test_the_gradient_of_s_is_that_of_finite_differences(learner):
    learner.double()
    targets = torch.full((2, 5, 2), 0.5, dtype=torch.float64)
    candidates = torch.stack([tokens(2, 6)[:, 1:], (tokens(2, 6)[:, 1:] + 1) % 140], dim=-1)
    views = TokenViews(tokens(2, 6), candidates, targets)
    norm = learner.student.aligned_parameters()["lm.model.norm.weight"]
    (gradient,) = torch.autograd.grad(loss_of(learner, views), norm)
    for i in (0, 7, 31):
        with torch.no_grad():
            norm[i] += 1e-6
            ahead = loss_of(learner, views)
            norm[i] -= 2e-6
            behind = loss_of(learner, views)
            norm[i] += 1e-6
        assert gradient[i].item() == pytest.approx(((ahead - behind) / 2e-6).item(), rel=1e-5)


def test_weights_count_relative_to_their_mean(learner):
    weights = torch.rand(4, 12) + 0.5
    state = learner.objective.begin(learner.student, None, TokenViews(tokens()), Draws(0, "objective"))
    losses = learner.objective.loss_components(learner.student, state)["next_token"]
    expected = (weights * losses).sum() / weights.sum()
    for scale in (1.0, 7.0):
        found = loss_of(learner, TokenViews(tokens(), token_weights=scale * weights))
        torch.testing.assert_close(found, expected)


def test_credit_of_tokens_is_the_derivative_of_their_weights(learner):
    """∂⟨v, g_pre⟩/∂w_t = (credit_t − its mean) / number of tokens, at equal weights."""
    learner.double()
    params = learner.student.aligned_parameters()
    v = [torch.randn_like(p) for p in params.values()]
    weights = torch.ones(4, 12, dtype=torch.float64, requires_grad=True)
    with sdpa_kernel(SDPBackend.MATH):
        loss = loss_of(learner, TokenViews(tokens(), token_weights=weights))
    gradient = torch.autograd.grad(loss, list(params.values()), create_graph=True)
    (found,) = torch.autograd.grad(sum((a * b).sum() for a, b in zip(v, gradient, strict=True)), weights)
    state = learner.objective.begin(learner.student, None, TokenViews(tokens()), Draws(0, "objective"))
    state = {name: entry.detach() for name, entry in state.items()}
    components = functional_components(learner.objective, learner.student)
    earned = credit(lambda p: components(state, p), params, v)["next_token"]
    torch.testing.assert_close(found, (earned - earned.mean()) / earned.numel(), rtol=1e-6, atol=1e-12)


def test_an_image_backbone_is_refused(backbone):
    with pytest.raises(ValueError, match="NextToken needs a CausalLM"):
        NextToken(backbone)
