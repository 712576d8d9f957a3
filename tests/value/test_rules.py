import math

import pytest
import torch

from vssl.value import Adam, AdamPreconditioner, Bound, Cosine, Dot, NormGrowth, cosine, dot, norm

P = [torch.tensor([[2.0, 0.5], [1.0, 3.0]], dtype=torch.float64), torch.tensor([4.0, 0.1, 1.0], dtype=torch.float64)]
RULES = {
    "dot": Dot(),
    "cosine": Cosine(),
    "bound": Bound(learning_rate=0.1, smoothness=3.0),
    "adam": Adam(),
    "dot, growth": NormGrowth(Dot(), weight=0.7, reference=0.5),
    "cosine, no growth": NormGrowth(Cosine(), weight=0.7, reference=1e3),
}


def gradients(seed: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(s, generator=generator, dtype=torch.float64) for s in ((2, 2), (3,))]


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_v_is_the_derivative_of_the_value(rule):
    g_down, g_pre = gradients(0), [g.requires_grad_() for g in gradients(1)]
    value, v = rule(g_down, g_pre, lambda: P)
    for ours, autograd in zip(v, torch.autograd.grad(value, g_pre), strict=True):
        torch.testing.assert_close(ours, autograd, rtol=1e-12, atol=1e-14)
        assert not ours.requires_grad


def test_values_are_what_the_rules_say():
    g_down, g_pre = gradients(0), gradients(1)
    torch.testing.assert_close(Dot()(g_down, g_pre).value, dot(g_down, g_pre))
    torch.testing.assert_close(Cosine()(g_down, g_pre).value, cosine(g_down, g_pre))
    torch.testing.assert_close(
        Adam()(g_down, g_pre, lambda: P).value, sum((p * d * g).sum() for p, d, g in zip(P, g_down, g_pre, strict=True))
    )
    bound = Bound(learning_rate=0.1, smoothness=3.0)(g_down, g_pre)
    # η·value is the L-smooth bound ηV − (Lη²/2)‖g_pre‖², and v = g_down − Lη·g_pre.
    torch.testing.assert_close(0.1 * bound.value, 0.1 * dot(g_down, g_pre) - 3.0 * 0.01 / 2 * norm(g_pre) ** 2)
    torch.testing.assert_close(bound.v[1], g_down[1] - 0.3 * g_pre[1])


def test_norm_growth_costs_only_where_g_pre_is_longer_than_the_reference():
    g_pre = [torch.tensor([3.0, 0.0]).double(), torch.tensor([4.0, 0.0, 0.0]).double()]
    g_down = [torch.ones_like(g) for g in g_pre]
    plain, shorter = Dot()(g_down, g_pre), NormGrowth(Dot(), 2.0, reference=6.0)(g_down, g_pre)
    assert shorter.value == plain.value and all(torch.equal(a, b) for a, b in zip(shorter.v, plain.v, strict=True))
    longer = NormGrowth(Dot(), 2.0, reference=2.5)(g_down, g_pre)
    assert float(plain.value - longer.value) == pytest.approx(2 * math.log(2) ** 2)
    assert float((plain.v[0] - longer.v[0])[0]) == pytest.approx(2 * 2 * math.log(2) * 3 / 25)


def test_bound_holds_on_a_smooth_function_and_is_tight_at_its_largest_curvature():
    # L_down = ½ Σ a θ², curvatures up to 3: the drop of a step of size η along g is at least η·value.
    curvature, theta, learning_rate = torch.tensor([3.0, 1.0, 0.5]), torch.tensor([1.0, -2.0, 0.3]), 0.2
    loss = lambda t: (curvature * t**2).sum() / 2  # noqa: E731
    rule = Bound(learning_rate, smoothness=3.0)
    for g in torch.eye(3):
        drop = loss(theta) - loss(theta - learning_rate * g)
        assert drop >= learning_rate * rule([curvature * theta], [g]).value - 1e-6
    along_steepest = torch.tensor([1.0, 0.0, 0.0])
    drop = loss(theta) - loss(theta - learning_rate * along_steepest)
    torch.testing.assert_close(drop, learning_rate * rule([curvature * theta], [along_steepest]).value)


def test_cosine_does_not_see_scale_and_its_v_is_orthogonal_to_g_pre():
    g_down, g_pre = gradients(0), gradients(1)
    value, v = Cosine()(g_down, g_pre)
    scaled, scaled_v = Cosine()([1e3 * g for g in g_down], [1e-4 * g for g in g_pre])
    torch.testing.assert_close(value, scaled)
    torch.testing.assert_close([1e4 * x for x in v], scaled_v)
    assert abs(dot(v, g_pre)) < 1e-14


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_zero_gradients_are_worth_nothing_and_stay_finite(rule):
    zeros = [torch.zeros(2, 2).double(), torch.zeros(3).double()]
    value, v = rule(zeros, zeros, lambda: P)
    assert value == 0 and norm(v) == 0
    for g_down, g_pre in ((zeros, gradients(1)), (gradients(0), zeros)):
        value, v = rule(g_down, g_pre, lambda: P)
        assert torch.isfinite(value) and all(torch.isfinite(x).all() for x in v)
    for g_down, g_pre in ((zeros, gradients(1)), (gradients(0), zeros)):
        value, v = Cosine()(g_down, g_pre)
        assert value == 0 and norm(v) == 0


def test_adam_preconditioner_is_the_optimizers_own_step_per_gradient():
    torch.manual_seed(0)
    params = {"a": torch.randn(4, requires_grad=True), "b": torch.randn(2, 3, requires_grad=True)}
    optimizer = torch.optim.Adam(params.values(), lr=0.01, betas=(0.0, 0.99))  # β1 = 0: the step is −lr·P·g
    preconditioner = AdamPreconditioner(optimizer, params)
    for _ in range(3):
        for p in params.values():
            p.grad = torch.randn_like(p)
        before = {n: p.detach().clone() for n, p in params.items()}
        optimizer.step()
    for (name, p), scale in zip(params.items(), preconditioner(), strict=True):
        torch.testing.assert_close(p.detach() - before[name], -0.01 * scale * p.grad, rtol=2e-5, atol=1e-7)


def test_adam_preconditioner_before_the_first_step_is_one_and_says_so():
    params = {"a": torch.randn(4, requires_grad=True), "frozen": torch.randn(3, requires_grad=True)}
    optimizer = torch.optim.AdamW(params.values())
    preconditioner = AdamPreconditioner(optimizer, params)
    with pytest.warns(UserWarning, match="not stepped yet, P = 1"):
        assert all((p == 1).all() for p in preconditioner())
    params["a"].grad = torch.ones(4)
    optimizer.step()
    scale, frozen = preconditioner()
    torch.testing.assert_close(scale, torch.full((4,), 1 / (1 + 1e-8)))
    assert (frozen == 0).all()  # the optimizer leaves it alone


def test_adam_needs_an_adam_that_holds_the_aligned_parameters():
    p = torch.ones(2, requires_grad=True)
    with pytest.raises(ValueError, match="needs a preconditioner"):
        Adam()([p.detach()], [p.detach()])
    with pytest.raises(ValueError, match=r"not in the learner's optimizer \(first: b\)"):
        AdamPreconditioner(torch.optim.Adam([p]), {"a": p, "b": torch.ones(1)})
    sgd = torch.optim.SGD([p], lr=0.1, momentum=0.9)
    p.grad = torch.ones(2)
    sgd.step()
    with pytest.raises(ValueError, match="SGD does not keep"):
        AdamPreconditioner(sgd, {"a": p})()


@pytest.mark.parametrize("settings", [(0.0, 1.0), (-1.0, 1.0), (0.1, -1.0), (float("nan"), 1.0)])
def test_bound_refuses_settings_out_of_range(settings):
    with pytest.raises(ValueError, match="Bound"):
        Bound(*settings)
