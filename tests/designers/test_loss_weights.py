"""`LossWeights` is the recipe at its start, stays within its bounds, and follows credit."""

import math

import pytest
import torch
from torch import nn

from vssl.designers import LossWeights
from vssl.draws import Draws
from vssl.views import MultiCrop

COMPONENTS = {"pixels": 3.0, "hog": 1.0}


def made(designer):
    return designer(torch.rand(2, 3, 16, 16), Draws(0, "v"))


class Weighing(nn.Module):
    """An objective as far as `LossWeights` looks at it."""

    def __init__(self, weights):
        super().__init__()
        self.own = self.weights = weights

    def component_weights(self):
        return {name: weight / sum(self.weights.values()) for name, weight in self.weights.items()}

    def weigh(self, weights):
        self.weights = self.own if weights is None else weights


@pytest.fixture
def designer():
    return LossWeights(MultiCrop(global_size=16, n_global=1), COMPONENTS)


def test_it_starts_as_the_objective_has_it(designer):
    construction = made(designer)
    assert construction.loss_weights == COMPONENTS and construction.penalty == 0
    designer.check(Weighing({"hog": 0.25, "pixels": 0.75}))


@pytest.mark.parametrize("weights", [{"hog": 0.5, "pixels": 0.5}, {"pixels": 1.0}, {"hog": 1.0, "raw_pixels": 3.0}])
def test_another_objective_is_refused(designer, weights):
    with pytest.raises(ValueError, match="but the objective's components weigh"):
        designer.check(Weighing(weights))


@pytest.mark.parametrize(
    "settings", [{"components": {"a": 1.0}}, {"components": {"a": 1.0, "b": 0.0}}, {"bound": 1.0}, {"entropy": -1.0}]
)
def test_what_cannot_be_learned_is_refused(settings):
    with pytest.raises(ValueError, match="LossWeights"):
        LossWeights(MultiCrop(global_size=16), **{"components": COMPONENTS, **settings})


def test_weights_keep_their_sum_and_stay_within_the_bound(designer):
    with torch.no_grad():
        designer.shift.copy_(torch.tensor([9.0, -9.0]))  # hog, pixels
    designer.project()
    weights = made(designer).loss_weights
    assert sum(weights.values()) == pytest.approx(4.0)
    assert weights["hog"] / weights["pixels"] == pytest.approx(1 / 3 * 100, rel=1e-5)


def test_the_divergence_is_that_of_the_shares():
    designer = LossWeights(MultiCrop(global_size=16, n_global=1), COMPONENTS, entropy=2.0)
    with torch.no_grad():
        designer.shift.copy_(torch.tensor([math.log(3.0), 0.0]))  # equal weights now
    expected = 0.5 * math.log(0.5 / 0.25) + 0.5 * math.log(0.5 / 0.75)
    assert made(designer).penalty.item() == pytest.approx(2 * expected, rel=1e-5)


def test_its_gradient_is_that_of_the_weights(designer):
    learned = made(designer).learned_weights
    (gradient,) = torch.autograd.grad(learned["hog"], designer.shift)
    step = torch.tensor([1e-3, 0.0])

    def at(shift):
        with torch.no_grad():
            designer.shift.copy_(shift)
        return made(designer).learned_weights["hog"].item()

    assert gradient[0].item() == pytest.approx((at(step) - at(-step)) / 2e-3, rel=1e-3)


def test_an_optimizer_step_follows_what_is_worth_more(designer):
    optimizer, credits = torch.optim.SGD(designer.parameters(), lr=0.1), {"hog": 2.0, "pixels": -1.0}
    learned = made(designer).learned_weights
    (-sum(w * credits[name] for name, w in learned.items())).backward()
    optimizer.step()
    after = made(designer).loss_weights
    assert after["hog"] > COMPONENTS["hog"] and after["pixels"] < COMPONENTS["pixels"]
