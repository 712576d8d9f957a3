import copy
import math

import pytest
import torch
from scipy.stats import t as student
from scipy.stats import ttest_1samp

from vssl.designers import Garrote

NUMBERS, STEPS = 40, 200


def _after(optimizer_of, signal: float, steps: int = STEPS, seed: int = 1) -> torch.Tensor:
    """Where 40 numbers end whose gradients are noise of spread 1; the first two have a mean of ± `signal`."""
    numbers, noise = torch.nn.Parameter(torch.zeros(NUMBERS)), torch.Generator().manual_seed(seed)
    optimizer, mean = optimizer_of([numbers]), torch.zeros(NUMBERS)
    mean[:2] = torch.tensor([signal, -signal])
    for _ in range(steps):
        numbers.grad = mean + torch.randn(NUMBERS, generator=noise)
        optimizer.step()
    return numbers.detach()


def test_numbers_that_matter_move_and_the_others_stay():
    found = _after(lambda numbers: Garrote(numbers, lr=0.1), 0.5)
    walked = _after(lambda numbers: torch.optim.Adam(numbers, lr=0.1), 0.5)
    assert found[0] < -5 and found[1] > 5  # downhill
    assert float(found[2:].abs().max()) < 0.1
    assert float(walked[2:].abs().max()) > 2  # what the garrote is there for


@pytest.mark.slow
def test_without_a_signal_a_family_moves_as_seldom_as_its_level_says():
    moved = []
    for seed in range(200):
        before, last = (_after(lambda numbers: Garrote(numbers, lr=0.1, level=0.1), 0.0, n, seed) for n in (19, 20))
        moved.append(not torch.equal(before, last))
    assert 0.02 < sum(moved) / len(moved) < 0.1 + 3 * math.sqrt(0.1 * 0.9 / 200)


def test_the_share_is_the_garrote_of_students_t():
    numbers = torch.nn.Parameter(torch.zeros(2))
    optimizer = Garrote([numbers], lr=1.0, memory=0.999999, level=0.05)  # hardly forgets: equal weights
    given = torch.tensor([[1.0, -4.0], [1.2, -3.0], [0.7, -6.0], [1.1, -4.0], [0.9, -4.5], [1.3, -3.9], [1.0, -5.0]])
    for gradient in given:
        before = numbers.detach().clone()
        numbers.grad = gradient.clone()
        optimizer.step()
    tested = ttest_1samp(given.double().numpy(), 0)
    threshold = student.isf(0.05 / 4, len(given) - 1)  # two sides, two numbers
    expected = -torch.tensor([1.0, -1.0]) * (1 - (threshold / torch.tensor(tested.statistic)) ** 2).float()
    # these gradients alternate, so that their correlation is held at 0
    torch.testing.assert_close(numbers.detach() - before, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("correlation", [0.5, 0.8])
def test_correlated_noise_is_not_taken_for_certainty(correlation):
    """First-order autoregressive noise, as of meta steps that share a g_down: the level holds."""
    moved = []
    for seed in range(60):
        noise = torch.Generator().manual_seed(seed)
        numbers, gradient = torch.nn.Parameter(torch.zeros(NUMBERS)), torch.randn(NUMBERS, generator=noise)
        optimizer = Garrote([numbers], lr=0.1, level=0.1)
        for _ in range(100):
            fresh = torch.randn(NUMBERS, generator=noise)
            gradient = correlation * gradient + math.sqrt(1 - correlation**2) * fresh
            before, numbers.grad = numbers.detach().clone(), gradient.clone()
            optimizer.step()
        moved.append(not torch.equal(before, numbers))
    assert sum(moved) / len(moved) < 0.1 + 3 * math.sqrt(0.1 * 0.9 / 60)


def test_a_number_without_a_gradient_stays_and_a_constant_one_moves_by_the_rate():
    numbers = torch.nn.Parameter(torch.zeros(3))
    optimizer = Garrote([numbers], lr=0.1)
    for step in range(12):
        numbers.grad = torch.tensor([0.0, 2.0, (-1.0) ** step])
        optimizer.step()
    assert numbers[0] == 0 and numbers[2] == 0
    torch.testing.assert_close(numbers[1].detach(), torch.tensor(-0.1 * 10))  # from the third step on


def test_it_goes_on_bit_for_bit_from_its_state():
    torch.manual_seed(0)
    gradients = torch.randn(60, NUMBERS) + 0.4
    whole = torch.nn.Parameter(torch.zeros(NUMBERS))
    optimizer, parted = Garrote([whole], lr=0.1), None
    for step, gradient in enumerate(gradients):
        if step == 30:
            parted = torch.nn.Parameter(whole.detach().clone())
            resumed = Garrote([parted], lr=0.1)
            resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
        for numbers, steps in ((whole, optimizer), *([(parted, resumed)] if parted is not None else [])):
            numbers.grad = gradient.clone()
            steps.step()
    assert torch.equal(whole, parted) and float(whole.detach().abs().max()) > 0


@pytest.mark.parametrize(
    "settings", [{"lr": 0.0}, {"lr": 0.1, "memory": 1.0}, {"lr": 0.1, "memory": 0.3}, {"lr": 0.1, "level": 0.0}]
)
def test_numbers_outside_their_range_are_refused(settings):
    with pytest.raises(ValueError, match="Garrote"):
        Garrote([torch.nn.Parameter(torch.zeros(1))], **settings)
