"""`ImageWeights` is the recipe at its start, stays within its bound, and moves where weights are worth more."""

import pytest
import torch

from vssl.designers import ImageWeights
from vssl.draws import Draws
from vssl.views import MultiCrop

IMAGES = torch.rand(6, 3, 16, 16, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def designer():
    torch.manual_seed(0)
    return ImageWeights(MultiCrop(global_size=16, n_global=1), entropy=1.0)


def made(designer):
    return designer(IMAGES, Draws(0, "v"))


def test_it_starts_as_the_recipe(designer):
    construction = made(designer)
    assert construction.image_weights is None
    assert torch.allclose(construction.weights, torch.ones(6)) and construction.penalty.abs() < 1e-6
    assert torch.equal(construction.views.global_crops, designer.recipe(IMAGES, Draws(0, "v")).global_crops)


def test_weights_have_mean_1_and_stay_within_the_bound(designer):
    with torch.no_grad():
        designer.head.weight.normal_(std=1000.0)
    weights = made(designer).image_weights
    assert weights.mean().item() == pytest.approx(1.0) and not weights.requires_grad
    assert weights.max() / weights.min() <= 9.0 * (1 + 1e-5)


def test_the_penalty_is_the_divergence_from_equal_shares(designer):
    with torch.no_grad():
        designer.head.weight.normal_()
    construction = made(designer)
    share = construction.weights / 6
    assert construction.penalty.item() == pytest.approx((share * (share * 6).log()).sum().item(), rel=1e-3)


def test_an_optimizer_step_follows_what_is_worth_more(designer):
    optimizer = torch.optim.SGD(designer.parameters(), lr=1.0)
    (-made(designer).weights[2]).backward()
    optimizer.step()
    assert made(designer).weights[2] > 1


@pytest.mark.parametrize("settings", [{"bound": 1.0}, {"entropy": -1.0}])
def test_what_cannot_be_learned_is_refused(settings):
    with pytest.raises(ValueError, match="ImageWeights"):
        ImageWeights(MultiCrop(global_size=16), **settings)
