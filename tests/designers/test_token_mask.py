"""`TokenMask` starts with the objective's own masks and loss, stays within its bound, and moves where patches are worth
more."""

from dataclasses import replace
from functools import partial
from itertools import permutations

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from vssl.designers import TokenMask
from vssl.draws import Draws
from vssl.learner import TimmBackbone
from vssl.learner.teacher import EMATeacher
from vssl.objectives import IBOT, IJEPA, MAE, DINOv2, SimCLR
from vssl.objectives.mae_masks import random_mask
from vssl.value import credit
from vssl.value.credit import worth_of_scores
from vssl.value.metagradient import functional_patch_losses
from vssl.views import MultiCrop, Views

IMAGES = torch.rand(6, 3, 16, 16, generator=torch.Generator().manual_seed(0))
RECIPE = dict(global_size=16, n_global=1)


@pytest.fixture
def designer():
    torch.manual_seed(0)
    return TokenMask(MultiCrop(**RECIPE), patch_size=4, entropy=1.0)


@pytest.fixture
def learner():
    torch.manual_seed(0)
    backbone = TimmBackbone(
        "vit_tiny_patch16_224", img_size=16, patch_size=4, embed_dim=16, depth=2, num_heads=2, aligned_blocks=1
    )
    return backbone, MAE(backbone, mask_ratio=0.6, decoder_dim=16, decoder_depth=1, decoder_heads=2)


HEADS = dict(n_local_crops=0, out_dim=12, hidden_dim=16, bottleneck_dim=8, mask_probability=1.0, mask_ratio=(0.3, 0.5))
OBJECTIVES = {
    "mae": (MAE, dict(mask_ratio=0.6)),
    "mae blocks": (MAE, dict(mask_ratio=0.6, mask="block")),
    "ibot": (IBOT, dict(HEADS, mask_min_patches=1)),
    "ibot single": (IBOT, dict(HEADS, mask="random")),
    "dinov2": (DINOv2, dict(HEADS, mask_min_patches=1, mask_exact=True, patch_out_dim=12)),
    "ijepa": (IJEPA, dict(min_keep=0, context_scale=(0.9, 1.0), target_scale=(0.3, 0.4))),
}


@pytest.fixture(params=OBJECTIVES)
def built(request):
    torch.manual_seed(0)
    kind, settings = OBJECTIVES[request.param]
    size = dict(img_size=16, patch_size=4, embed_dim=16, depth=2, num_heads=2)
    student = TimmBackbone("vit_tiny_patch16_224", aligned_blocks=1, **size)
    objective = kind(student, **(kind.small(16) | settings))
    teacher = EMATeacher(student, objective.teacher_modules()) if objective.uses_teacher else None
    recipe = MultiCrop(global_size=16, n_global=objective.n_global_crops)
    return student, objective, teacher, TokenMask(recipe, 4, learns=("hidden", "counted"))


def made(designer):
    return designer(IMAGES, Draws(0, "v"))


def test_it_starts_as_the_recipe(built):
    student, objective, teacher, designer = built
    construction, plain = made(designer), designer.recipe(IMAGES, Draws(0, "v"))
    assert torch.equal(construction.views.global_crops, plain.global_crops) and construction.penalty.abs() < 1e-6
    parameters = [p for p in [*student.parameters(), *objective.parameters()] if p.requires_grad]
    gradients = []
    for views in (construction.views.detach(), plain):
        draws = Draws(0, "o")
        state = objective.begin(student, teacher, views, draws)
        loss = objective.finish(student, state)
        gradients.append([loss, draws.uniform(3), *torch.autograd.grad(loss, parameters, allow_unused=True)])
    for ours, own in zip(*gradients, strict=True):
        assert own is ours is None or torch.equal(ours, own)


def test_patches_of_high_score_are_predicted_more_often(built):
    student, objective, teacher, designer = built
    views, often = designer.recipe(IMAGES, Draws(0, "v")), torch.zeros(4, 4)
    often[:2, :2] = 1.0
    shares = []
    for scores in (torch.zeros(16), often.flatten()):
        scored = replace(views, patch_scores=scores.expand(*views.global_crops.shape[:2], 16))
        predicted = [
            objective.predicted_patches(objective.begin(student, teacher, scored, Draws(0, "o", step)))["patches"] % 16
            for step in range(40)
        ]
        of_patches = torch.bincount(torch.cat(predicted), minlength=16).float()
        shares.append((of_patches / of_patches.sum() * often.flatten()).sum())
    assert shares[1] > 1.15 * shares[0]


def test_weights_scale_the_losses_of_patches_and_leave_their_mean_weight_at_1(built):
    student, objective, teacher, designer = built
    plain = designer.recipe(IMAGES, Draws(0, "v"))
    weights = torch.rand(*plain.global_crops.shape[:2], 16) + 0.5
    each = []
    for views in (plain, replace(plain, patch_weights=weights)):
        state = objective.begin(student, teacher, views, Draws(0, "o"))
        each.append(objective.patch_losses(student, state)["patches"])
    predicted, rows = objective.predicted_patches(state)["patches"], weights.flatten(0, 1)
    of_row = [[] for _ in rows]
    for index, factor in zip(predicted.tolist(), (each[1] / each[0]).tolist(), strict=True):
        of_row[index // 16].append((factor, float(rows.flatten()[index])))
    for factors in filter(None, of_row):
        given = torch.tensor(factors)
        torch.testing.assert_close(given[:, 0], given[:, 1] / given[:, 1].mean(), rtol=1e-4, atol=1e-5)


def test_patch_losses_are_what_the_loss_is_made_of(built):
    student, objective, teacher, designer = built
    state = objective.begin(student, teacher, designer.recipe(IMAGES, Draws(0, "v")), Draws(0, "o"))
    losses, components = objective.patch_losses(student, state)["patches"], objective.loss_components(student, state)
    name = next(n for n in ("patch", "features", "pixels") if n in components)
    rows = objective.predicted_patches(state)["patches"] // 16
    means = torch.stack([losses[rows == row].mean() for row in rows.unique()])
    torch.testing.assert_close(means.mean(), components[name].mean())


def test_scores_of_0_change_no_mask_of_many():
    own, scored = (random_mask(Draws(0, "x"), 4000, 256, 0.6, scores) for scores in (None, torch.zeros(4000, 256)))
    assert torch.equal(own[0], scored[0]) and torch.equal(own[1], scored[1])


def test_patches_are_hidden_by_their_odds():
    """The first of the drawn patches, i.e. one hidden patch of four, against exp(score) / sum."""
    scores = torch.tensor([0.0, 1.0, -1.0, 0.5])
    _, hidden = random_mask(Draws(0, "x"), 40000, 4, 0.75 / 3, scores.expand(40000, 4))
    shares = torch.bincount(hidden[:, 0], minlength=4) / 40000
    torch.testing.assert_close(shares, scores.softmax(0), atol=0.01, rtol=0)


def test_two_ranks_draw_the_masks_of_one():
    scores = torch.randn(4, 16, generator=torch.Generator().manual_seed(0))
    whole = random_mask(Draws(0, "x"), 4, 16, 0.6, scores)[1]
    ranks = [random_mask(Draws(0, "x", rank=rank, world_size=2), 2, 16, 0.6, scores[rank::2])[1] for rank in (0, 1)]
    assert torch.equal(whole, torch.stack(ranks, dim=1).flatten(0, 1))


def test_scores_stay_within_the_bound_and_the_penalty_is_the_divergence(designer):
    with torch.no_grad():
        designer.head.weight.normal_(std=1000.0)
    construction = made(designer)
    odds = construction.views.patch_scores[0].softmax(1)
    assert (odds.amax(1) / odds.amin(1) <= 9.0 * (1 + 1e-5)).all()
    assert construction.penalty.item() == pytest.approx((odds * (odds * 16).log()).sum(1).mean().item(), rel=1e-4)


def test_the_worth_of_shares_is_the_exact_derivative_of_the_value(learner):
    student, objective = (module.double() for module in learner)
    params = student.aligned_parameters()
    v = [torch.randn_like(p) for p in params.values()]
    with torch.no_grad():
        state = objective.begin(student, None, Views(IMAGES.double().unsqueeze(0)), Draws(0, "o"))
    scores = torch.zeros(6, 16, dtype=torch.float64, requires_grad=True)
    with sdpa_kernel(SDPBackend.MATH):  # the others have no second derivative
        losses = objective.loss_components(student, state)["pixels"]
    loss = (scores.gather(1, state["hidden"]).softmax(1) * losses).sum(1).mean()
    g_pre = torch.autograd.grad(loss, list(params.values()), create_graph=True)
    (expected,) = torch.autograd.grad(sum((g * d).sum() for g, d in zip(g_pre, v, strict=True)), scores)

    earned = credit(partial(functional_patch_losses(objective, student), state), params, v)["patches"]
    worth = worth_of_scores(scores, earned, objective.predicted_patches(state)["patches"])
    (found,) = torch.autograd.grad(worth, scores)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


def test_in_expectation_over_masks_it_points_where_the_odds_should_move():
    """Two of five patches hidden: all masks, with the exact probability of each order of drawing."""
    worth = torch.tensor([0.3, -1.0, 2.0, 0.1, 0.7], dtype=torch.float64)
    scores = torch.zeros(5, dtype=torch.float64, requires_grad=True)
    odds, value, surrogate = scores.exp(), 0.0, 0.0
    for hidden in permutations(range(5), 2):
        first = odds[hidden[0]] / odds.sum()
        likelihood = first * odds[hidden[1]] / (odds.sum() - odds[hidden[0]])
        index = torch.tensor([hidden])
        value = value + likelihood * worth[index].mean()
        surrogate = surrogate + likelihood.detach() * worth_of_scores(scores[None], worth[index[0]], index[0])
    (exact,), (found,) = (torch.autograd.grad(of, scores, retain_graph=True) for of in (value, surrogate))
    factor = (exact @ found) / (found @ found)
    assert factor > 0
    torch.testing.assert_close(exact, factor * found)


def test_what_does_not_suit_is_refused(designer, learner):
    student, objective = learner
    designer.check(objective)
    with pytest.raises(ValueError, match="SimCLR does not ask for scores"):
        designer.check(SimCLR(student))
    with pytest.raises(ValueError, match=r"set designer\.patch_size"):
        objective.begin(student, None, made(TokenMask(MultiCrop(**RECIPE), patch_size=8)).views, Draws(0, "o"))
    with pytest.raises(ValueError, match="MAE does not ask for scores"):
        designer.check(MAE(student, mask="grid"))
    with pytest.raises(ValueError, match=r"set designer\.patch_size"):
        counted = TokenMask(MultiCrop(**RECIPE), patch_size=2, learns=("counted",))
        objective.begin(student, None, made(counted).views, Draws(0, "o"))
    wrong = ({"bound": 1.0}, {"entropy": -1.0}, {"learns": ("seen",)}, {"adversarial": True, "learns": ("counted",)})
    for settings in wrong:
        with pytest.raises(ValueError, match="TokenMask"):
            TokenMask(MultiCrop(**RECIPE), patch_size=4, **settings)
