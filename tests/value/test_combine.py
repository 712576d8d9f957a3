import copy
import io

import pytest
import torch

from vssl.value import GradientAverage, PCGrad, UnitNorm, WeightedSum, dot, norm


def test_weighted_sum_is_the_sum_of_the_weighted_raw_gradients():
    combine = WeightedSum({"segmentation": 1.0, "depth": 8.0})
    gradients = {"depth": [torch.tensor([1.0]), torch.ones(2)], "segmentation": [torch.tensor([2.0]), torch.zeros(2)]}
    first, second = combine(gradients)
    assert first.tolist() == [10.0] and second.tolist() == [8.0, 8.0]


def test_unit_norm_follows_the_closed_form_of_its_running_norm():
    momentum, norms = 0.8, [2.0, 5.0, 1.0, 4.0]
    combine = UnitNorm({"depth": 3.0}, momentum)
    for t, length in enumerate(norms, start=1):
        (g,) = combine({"depth": [torch.tensor([length, 0.0])]})
        weights = [momentum ** (t - i) for i in range(1, t + 1)]
        mean = sum(w * n for w, n in zip(weights, norms, strict=False)) / sum(weights)
        torch.testing.assert_close(g, torch.tensor([3.0 * length / mean, 0.0]))


def test_unit_norm_makes_weights_shares_whatever_the_units_of_a_task():
    torch.manual_seed(0)
    a, b = torch.randn(5), torch.randn(5)
    combine, scaled = UnitNorm({"a": 1.0, "b": 2.0}, 0.9), UnitNorm({"a": 1.0, "b": 2.0}, 0.9)
    for _ in range(3):
        one = combine({"a": [a], "b": [b]})
        torch.testing.assert_close(one, scaled({"a": [a], "b": [1e4 * b]}))
        torch.testing.assert_close(one, [a / a.norm() + 2 * b / b.norm()])


def test_unit_norm_does_not_count_a_batch_without_signal():
    combine = UnitNorm({"depth": 1.0}, 0.5)
    assert norm(combine({"depth": [torch.zeros(2)]})) == 0
    torch.testing.assert_close(combine({"depth": [torch.tensor([3.0, 4.0])]}), [torch.tensor([0.6, 0.8])])
    combine({"depth": [torch.zeros(2)]})
    torch.testing.assert_close(combine({"depth": [torch.tensor([3.0, 4.0])]}), [torch.tensor([0.6, 0.8])])


def test_pcgrad_projects_conflicting_gradients_as_by_hand():
    # g1 = (1, 0), g2 = (−1, 1): ⟨g1, g2⟩ = −1. g1 − (−1/2)g2 = (0.5, 0.5); g2 − (−1/1)g1 = (0, 1).
    combine = PCGrad({"one": 1.0, "two": 1.0})
    gradients = {"one": [torch.tensor([1.0]), torch.tensor([0.0])], "two": [torch.tensor([-1.0]), torch.tensor([1.0])]}
    assert torch.cat(combine(gradients)).tolist() == [0.5, 1.5]


def test_pcgrad_leaves_gradients_that_agree_and_weights_scale_what_is_left():
    agree = {"one": [torch.tensor([1.0, 0.0])], "two": [torch.tensor([1.0, 1.0])]}
    assert PCGrad({"one": 2.0, "two": 1.0})(agree)[0].tolist() == [3.0, 1.0]
    conflict = {"one": [torch.tensor([1.0, 0.0])], "two": [torch.tensor([-1.0, 1.0])]}
    assert PCGrad({"one": 4.0, "two": 1.0})(conflict)[0].tolist() == [2.0, 3.0]  # 4·(0.5, 0.5) + (0, 1)
    assert PCGrad({"one": 0.0, "two": 1.0})(conflict)[0].tolist() == [-1.0, 1.0]


def test_pcgrad_of_two_tasks_does_not_harm_either():
    torch.manual_seed(0)
    for _ in range(20):
        gradients = {"one": [torch.randn(3)], "two": [torch.randn(3)]}
        total = PCGrad({"one": 1.0, "two": 1.0})(gradients)
        assert all(dot(total, g) >= -1e-6 for g in gradients.values())


def test_pcgrad_order_is_fixed_or_the_generators():
    torch.manual_seed(1)
    gradients = {name: [torch.randn(4)] for name in "abc"}
    weights = dict.fromkeys("abc", 1.0)
    fixed = PCGrad(weights)(gradients)
    torch.testing.assert_close(PCGrad(weights)(gradients), fixed, rtol=0, atol=0)
    drawn = [PCGrad(weights, generator=torch.Generator().manual_seed(s))(gradients)[0] for s in (0, 0, 1, 2, 3, 4)]
    torch.testing.assert_close(drawn[0], drawn[1], rtol=0, atol=0)
    assert len({tuple(d.tolist()) for d in drawn}) > 1  # with three tasks the order matters


def test_pcgrad_with_momentum_first_takes_unit_norms():
    gradients = {"one": [torch.tensor([100.0, 0.0])], "two": [torch.tensor([-1.0, 1.0])]}
    unit_two = torch.tensor([-1.0, 1.0]) / 2**0.5
    expected = torch.tensor([0.5, 0.5]) + unit_two + torch.tensor([0.5**0.5, 0.0])
    torch.testing.assert_close(PCGrad({"one": 1.0, "two": 1.0}, momentum=0.9)(gradients)[0], expected)


def test_gradient_average_follows_its_closed_form():
    torch.manual_seed(0)
    momentum, average = 0.9, GradientAverage(0.9)
    gradients = [torch.randn(6) * 10**i for i in range(4)]
    for t in range(1, 5):
        mean = average([gradients[t - 1][:2], gradients[t - 1][2:]])
        weights = [momentum ** (t - i) for i in range(1, t + 1)]
        expected = sum(w * g / g.norm() for w, g in zip(weights, gradients, strict=False)) / sum(weights)
        torch.testing.assert_close(torch.cat(mean), expected)
    assert norm(mean) <= 1


def test_gradient_average_of_one_direction_is_that_direction_and_skips_zeros():
    average = GradientAverage(0.9)
    assert norm(average([torch.zeros(2)])) == 0
    for length in (1.0, 7.0, 0.0, 0.01):
        mean = average([torch.tensor([3.0, 4.0]) * length])
        torch.testing.assert_close(mean, [torch.tensor([0.6, 0.8])])


@pytest.mark.parametrize(
    "combine",
    [UnitNorm({"task": 1.0}, 0.7), PCGrad({"task": 1.0}, 0.7), GradientAverage(0.7)],
    ids=lambda c: type(c).__name__,
)
def test_a_resumed_combiner_goes_on_exactly(combine):
    combine, fresh = copy.deepcopy(combine), copy.deepcopy(combine)
    call = lambda c, g: c([g]) if isinstance(c, GradientAverage) else c({"task": [g]})  # noqa: E731
    generator = torch.Generator().manual_seed(0)
    gradients = [torch.randn(4, generator=generator) for _ in range(6)]
    fresh.load_state_dict(combine.state_dict())  # a run killed before its first meta step
    for g in gradients[:3]:
        call(combine, g)
    file = io.BytesIO()
    torch.save(combine.state_dict(), file)
    file.seek(0)
    fresh.load_state_dict(torch.load(file, weights_only=True))
    for g in gradients[3:]:
        torch.testing.assert_close(call(fresh, g), call(combine, g), rtol=0, atol=0)


def test_a_saved_average_does_not_move_with_the_run():
    average = GradientAverage(0.5)
    average([torch.tensor([1.0, 0.0])])
    saved = average.state_dict()
    average([torch.tensor([0.0, 1.0])])
    fresh = GradientAverage(0.5)
    fresh.load_state_dict(saved)
    torch.testing.assert_close(fresh([torch.tensor([1.0, 0.0])]), [torch.tensor([1.0, 0.0])])


def test_tasks_without_weights_and_settings_out_of_range_are_refused():
    with pytest.raises(ValueError, match=r"\['depth', 'flow'\] but weights for \['depth'\]"):
        WeightedSum({"depth": 1.0})({"depth": [torch.ones(1)], "flow": [torch.ones(1)]})
    for weights in ({"depth": -1.0}, {"depth": 0.0}, {}):
        with pytest.raises(ValueError, match="task weights"):
            WeightedSum(weights)
    for build in (lambda m: UnitNorm({"depth": 1.0}, m), GradientAverage):
        with pytest.raises(ValueError, match=r"must be in \[0, 1\)"):
            build(1.0)
