import pytest
import torch

from vssl.value.horizon import ControlVariate, Unroll, antithetic_gradient, halve, standing, weighted_mean


def valued(function, phi, directions, sigma):
    return torch.stack([torch.stack([function(phi + sigma * e), function(phi - sigma * e)]) for e in directions])


def test_antithetic_pairs_are_exact_along_their_directions_for_a_quadratic():
    """V = aᵀφ + φᵀAφ: the even terms cancel, and a pair gives its directional derivative at any σ."""
    generator = torch.Generator().manual_seed(0)
    a, square = torch.randn(5, generator=generator).double(), torch.randn(5, 5, generator=generator).double()
    phi, directions = torch.randn(5, generator=generator).double(), torch.randn(7, 5, generator=generator).double()
    values = valued(lambda x: a @ x + x @ square @ x, phi, directions, 2.0)
    gradient = a + (square + square.T) @ phi
    expected = (directions @ gradient).unsqueeze(1) * directions
    torch.testing.assert_close(antithetic_gradient(values, directions, 2.0), expected.mean(0))


def test_over_many_directions_the_estimate_is_the_gradient_of_the_smoothed_value():
    """E over Gaussian ε of cos(φ + σε) is exp(−σ²/2)·cos φ; signs in one dimension give the plain difference."""
    phi, sigma = torch.tensor([0.7], dtype=torch.float64), 0.8
    directions = torch.randn(200_000, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    values = torch.cat([torch.cos(phi + sigma * directions), torch.cos(phi - sigma * directions)], dim=1)
    smoothed = -torch.sin(phi) * torch.exp(torch.tensor(-(sigma**2) / 2))
    torch.testing.assert_close(antithetic_gradient(values, directions, sigma), smoothed, atol=5e-3, rtol=0)
    one = torch.ones(1, 1, dtype=torch.float64)
    difference = (torch.cos(phi + sigma) - torch.cos(phi - sigma)) / (2 * sigma)
    torch.testing.assert_close(antithetic_gradient(valued(torch.cos, phi, one, sigma)[..., 0], one, sigma), difference)


def test_the_upper_half_goes_on():
    asked = []

    def worth(candidates, horizon):
        asked.append((list(candidates), horizon))
        return torch.tensor({4: [3.0, 1, 4, 1, 5], 8: [9.0, 0, 2, 0, 9]}[horizon])[list(candidates)]

    reached, values = halve(5, [4, 8], worth)
    assert asked == [([0, 1, 2, 3, 4], 4), ([0, 2, 4], 8)]
    assert reached == [8, 4, 8, 4, 8] and values.tolist() == [9, 1, 2, 1, 9]
    assert standing(reached, values).tolist() == [3.5, 0.5, 2, 0.5, 3.5]
    assert standing(*halve(3, [2], lambda c, h: torch.tensor([0.0, 1, 0]))).tolist() == [0.5, 2, 0.5]


def test_of_equals_the_first_goes_on():
    reached, _ = halve(4, [1, 2, 3], lambda candidates, horizon: torch.zeros(len(candidates)))
    assert reached == [3, 2, 1, 1]


def test_drops_count_by_their_weights():
    drops = {"depth": torch.tensor(1.0), "segmentation": torch.tensor(4.0)}
    assert weighted_mean(drops, {"segmentation": 1.0, "depth": 3.0}) == 7 / 4


def estimates(expected, steps=2000, pairs=3, sigma=0.5):
    """Of the gradient of V = gᵀφ + φᵀφ at 0 in six dimensions, with and without a control variate; and g."""
    generator = torch.Generator().manual_seed(0)
    slope, control = torch.linspace(-1, 2, 6, dtype=torch.float64), ControlVariate()
    found, plain = [], []
    for _ in range(steps):
        directions = torch.randn(pairs, 6, generator=generator, dtype=torch.float64)
        values = valued(lambda x: slope @ x + x @ x, torch.zeros(6).double(), directions, sigma)
        plain.append(antithetic_gradient(values, directions, sigma))
        found.append(control.gradient(values, directions, sigma, expected(slope, generator)))
    return torch.stack(found), torch.stack(plain), slope


@pytest.mark.parametrize("noise", [0.0, 1.0, 3.0])
def test_a_control_variate_leaves_the_expectation_and_takes_the_variance_that_it_explains(noise):
    """c is the gradient, half as long or less and of the other sign, and noise anew at each meta step."""

    def expected(slope, generator):
        return -0.5 * slope + 0.5 * noise * slope.norm() / 6**0.5 * torch.randn(6, generator=generator).double()

    found, plain, slope = estimates(expected)
    errors = found.var(0).sqrt() / len(found) ** 0.5
    assert ((found.mean(0) - slope).abs() < 4 * errors + 1e-12).all()
    squared_cosine = 1 / (1 + noise**2)
    left = float(found[100:].var(0).sum() / plain[100:].var(0).sum())
    assert left == pytest.approx(1 - squared_cosine, abs=0.06)


def test_a_control_variate_that_predicts_nothing_adds_nearly_nothing():
    across = torch.tensor([2.0, 0, 0, 0, 0, 1.0], dtype=torch.float64)  # at right angles to the gradient
    found, plain, slope = estimates(lambda *_: across)
    assert float(across @ slope) == 0
    errors = found.var(0).sqrt() / len(found) ** 0.5
    assert ((found.mean(0) - slope).abs() < 4 * errors).all()
    assert float(found.var(0).sum() / plain.var(0).sum()) < 1.03


def test_the_first_estimate_is_that_of_the_pairs_and_the_state_is_saved():
    directions, values = torch.eye(3)[:2].double(), torch.tensor([[1.0, -1.0], [0.5, 0.0]]).double()
    control, expected = ControlVariate(), torch.tensor([1.0, 0.2, 5.0]).double()
    assert torch.equal(
        control.gradient(values, directions, 1.0, expected), antithetic_gradient(values, directions, 1.0)
    )
    again = ControlVariate()
    again.load_state_dict(control.state_dict())
    assert again.factor == control.factor > 0.9  # slopes 1 and 0.25, predicted 1 and 0.2


def carried_on(persistent, stretches=4, pairs=20_000, sigma=0.5):
    """Estimates of ∂V/∂φ at the end of each stretch of x ← decay·x + φ, with V = x, and the exact derivatives.

    Each stretch is one step. Plain pairs begin it from where the unperturbed learner stands.
    """
    decay, phi, generator = 0.9, torch.tensor([0.3], dtype=torch.float64), torch.Generator().manual_seed(0)
    unroll, x, unperturbed = Unroll(stretches), torch.zeros(pairs, 2).double(), torch.zeros(()).double()
    found, exact, slope = [], [], 0.0
    for _ in range(stretches):
        directions = torch.randn(pairs, 1, generator=generator, dtype=torch.float64)
        perturbed = phi + sigma * torch.cat([directions, -directions], dim=1)
        x = decay * (x if persistent else unperturbed.expand_as(x)) + perturbed
        unperturbed = decay * unperturbed + phi[0]
        found.append(float(antithetic_gradient(x, unroll.through(directions) if persistent else directions, sigma)))
        slope = decay * slope + 1
        exact.append(slope)
    return found, exact


def test_persistent_pairs_see_the_whole_way_and_plain_ones_its_last_stretch():
    found, exact = carried_on(persistent=True)
    torch.testing.assert_close(torch.tensor(found), torch.tensor(exact), rtol=0.05, atol=0)
    truncated, _ = carried_on(persistent=False)
    torch.testing.assert_close(torch.tensor(truncated), torch.ones(4), rtol=0.05, atol=0)
    assert exact[-1] == pytest.approx(1 + 0.9 + 0.81 + 0.729)


def test_an_unroll_begins_anew_and_is_saved():
    unroll, ones = Unroll(2), torch.ones(3, 1)
    sums = [float(unroll.through(ones)[0]) for _ in range(3)]
    again = Unroll(2)
    again.load_state_dict(unroll.state_dict())
    sums += [float(u.through(ones)[0]) for u in (unroll, again)]
    assert sums == [1, 2, 1, 2, 2]
    with pytest.raises(ValueError, match="stretches=0"):
        Unroll(0)
