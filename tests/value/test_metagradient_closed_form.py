"""Both estimators on a model small enough to differentiate by hand, and the contract around them."""

from functools import partial

import pytest
import torch
from torch import nn

from vssl.value import (
    Bound,
    Cosine,
    Dot,
    central_difference,
    cosine,
    dot,
    double_backward,
    forward_difference,
    functional_tail,
    parameter_gradient,
)

ESTIMATORS = {"double_backward": double_backward, "central_difference": central_difference}
DIFFERENCES = [central_difference, forward_difference]
both = pytest.mark.parametrize("estimator", ESTIMATORS.values(), ids=ESTIMATORS)
every = pytest.mark.parametrize("estimator", [double_backward, *DIFFERENCES], ids=lambda e: e.__name__)
differences = pytest.mark.parametrize("estimator", DIFFERENCES, ids=lambda e: e.__name__)

# L(θ; φ) = ½‖W h − y‖² with h = φ x: g_pre = (W h − y) hᵀ, and with r = W h − y
# ∂⟨v, g_pre⟩/∂h = Wᵀ v h + vᵀ r, so that ∂⟨v, g_pre⟩/∂φ = (Wᵀ v h + vᵀ r) xᵀ.
generator = torch.Generator().manual_seed(0)
W, X, Y, PHI, G_DOWN, REST = (
    torch.randn(s, generator=generator, dtype=torch.float64) for s in ((3, 4), (5,), (3,), (4, 5), (3, 4), (3, 4))
)


def quadratic(state, params):
    return ((params["w"] @ state["h"] - state["y"]) ** 2).sum() / 2


def by_hand(v, h):
    return W.T @ (v @ h) + v.T @ (W @ h - Y)


@both
@pytest.mark.parametrize("rule", [Dot(), Cosine(), Bound(0.1, 2.0)], ids=lambda r: type(r).__name__)
def test_quadratic_model_matches_the_derivative_by_hand(estimator, rule):
    phi = PHI.clone().requires_grad_()
    state = {"h": phi @ X, "y": Y}
    meta = estimator(state, quadratic, {"w": W}, partial(rule, [G_DOWN]))
    h = PHI @ X
    g_pre = torch.outer(W @ h - Y, h)
    value, (v,) = rule([G_DOWN], [g_pre])
    torch.testing.assert_close(meta.g_pre, [g_pre])
    torch.testing.assert_close(meta.value, value)
    torch.testing.assert_close(meta.loss, ((W @ h - Y) ** 2).sum() / 2)
    # The model is quadratic in θ, so that the central difference has no error of its own.
    torch.testing.assert_close(meta.cotangents, {"h": by_hand(v, h)}, rtol=1e-9, atol=1e-9)
    meta.backward(state, [phi])
    torch.testing.assert_close(phi.grad, -torch.outer(by_hand(v, h), X), rtol=1e-9, atol=1e-9)


def test_forward_difference_of_the_quadratic_errs_by_its_known_first_order_term():
    # [∇_h L(W + εv) − ∇_h L(W)]/ε = Wᵀ v h + vᵀ r + ε vᵀ v h
    h, v, relative_step = PHI @ X, G_DOWN, 0.01
    state = {"h": h.clone().requires_grad_(), "y": Y}
    meta = forward_difference(state, quadratic, {"w": W}, partial(Dot(), [v]), relative_step=relative_step)
    step = relative_step * W.norm() / v.norm()
    torch.testing.assert_close(meta.cotangents["h"], by_hand(v, h) + step * v.T @ v @ h, rtol=1e-9, atol=1e-9)


@both
def test_designer_gradient_is_the_finite_difference_of_the_value(estimator):
    def value(phi):
        return estimator({"h": phi @ X, "y": Y}, quadratic, {"w": W}, partial(Cosine(), [G_DOWN])).value

    phi, step = PHI.clone().requires_grad_(), 1e-6
    state = {"h": phi @ X, "y": Y}
    estimator(state, quadratic, {"w": W}, partial(Cosine(), [G_DOWN])).backward(state, [phi])
    for i, j in ((0, 0), (3, 4), (1, 2)):
        moved = torch.zeros_like(PHI)
        moved[i, j] = step
        slope = (value(PHI + moved) - value(PHI - moved)) / (2 * step)
        torch.testing.assert_close(-phi.grad[i, j], slope, rtol=1e-6, atol=1e-9)


@both
def test_rest_is_added_before_the_rule_and_has_no_cotangent(estimator):
    state = {"h": (PHI @ X).requires_grad_(), "y": Y}
    alone = estimator(state, quadratic, {"w": W}, partial(Cosine(), [G_DOWN]))
    meta = estimator(state, quadratic, {"w": W}, partial(Cosine(), [G_DOWN]), rest=[REST])
    torch.testing.assert_close(meta.g_pre, [alone.g_pre[0] + REST])
    value, (v,) = Cosine()([G_DOWN], meta.g_pre)
    torch.testing.assert_close(meta.value, value)
    torch.testing.assert_close(meta.cotangents["h"], by_hand(v, PHI @ X), rtol=1e-9, atol=1e-9)


@both
def test_split_loss_with_rest_equals_the_whole_loss(estimator):
    def whole(state, params):
        return quadratic(state, params) + (params["w"] ** 4).sum()

    def independent(state, params):
        return (params["w"] ** 4).sum()

    state = {"h": (PHI @ X).requires_grad_(), "y": Y}
    rest = parameter_gradient({}, independent, {"w": W})
    torch.testing.assert_close(rest, [4 * W**3])
    split = estimator(state, quadratic, {"w": W}, partial(Cosine(), [G_DOWN]), rest=rest)
    joint = double_backward(state, whole, {"w": W}, partial(Cosine(), [G_DOWN]))
    torch.testing.assert_close(split.value, joint.value)
    torch.testing.assert_close(split.cotangents, joint.cotangents, rtol=1e-9, atol=1e-9)


@both
def test_two_ranks_give_the_gradient_of_the_whole_batch(estimator):
    # Two ranks hold one sample each; the mean of their losses is the loss of the whole batch.
    states = [{"h": (PHI @ x).requires_grad_(), "y": Y} for x in (X, X.flip(0))]
    local = [parameter_gradient(s, quadratic, {"w": W}) for s in states]

    def mean_over_ranks(tensors):
        if tensors[0].shape == W.shape:  # g_pre, and not the squares by which a step is chosen
            tensors[0].copy_((local[0][0] + local[1][0]) / 2)  # in place, as an all-reduce does
        return tensors

    def whole(state, params):
        return sum(quadratic({"h": h, "y": Y}, params) for h in state["h"]) / 2

    both_states = {"h": torch.stack([s["h"].detach() for s in states]).requires_grad_()}
    expected = double_backward(both_states, whole, {"w": W}, partial(Cosine(), [G_DOWN]))
    for rank, state in enumerate(states):
        meta = estimator(state, quadratic, {"w": W}, partial(Cosine(), [G_DOWN]), reduce=mean_over_ranks)
        torch.testing.assert_close(meta.value, expected.value)
        torch.testing.assert_close(meta.cotangents["h"] / 2, expected.cotangents["h"][rank], rtol=1e-9, atol=1e-9)


@every
def test_zero_feedback_moves_nothing(estimator):
    state = {"h": (PHI @ X).requires_grad_(), "y": Y}
    for params in ({"w": W}, {"w": torch.zeros_like(W)}):
        meta = estimator(state, quadratic, params, partial(Cosine(), [torch.zeros_like(G_DOWN)]))
        assert meta.value == 0 and (meta.cotangents["h"] == 0).all()


@both
def test_aligned_parameters_that_are_all_zero_still_have_a_meta_gradient(estimator):
    state = {"h": (PHI @ X).requires_grad_(), "y": Y}
    meta = estimator(state, quadratic, {"w": torch.zeros_like(W)}, partial(Dot(), [G_DOWN]))
    torch.testing.assert_close(meta.cotangents["h"], -G_DOWN.T @ Y, rtol=1e-9, atol=1e-9)


@every
def test_unused_parameters_and_unused_state_get_zeros(estimator):
    state = {"h": (PHI @ X).requires_grad_(), "y": Y, "unused": torch.ones(2, requires_grad=True), "i": torch.arange(3)}
    meta = estimator(state, quadratic, {"w": W, "idle": torch.ones(2)}, partial(Dot(), [G_DOWN, torch.ones(2)]))
    assert (meta.g_pre[1] == 0).all()
    assert meta.cotangents.keys() == {"h", "unused"} and (meta.cotangents["unused"] == 0).all()


@every
def test_a_fixed_construction_has_a_value_and_no_gradient(estimator):
    phi = torch.ones(2, dtype=torch.float64, requires_grad=True)
    state = {"h": PHI @ X, "y": Y}
    meta = estimator(state, quadratic, {"w": W}, partial(Dot(), [G_DOWN]))
    torch.testing.assert_close(meta.value, dot([G_DOWN], [torch.outer(W @ PHI @ X - Y, PHI @ X)]))
    assert meta.cotangents == {}
    meta.backward(state, [phi])
    assert phi.grad is None
    meta.backward(state, [phi], penalty=(phi**2).sum())  # a penalty alone still reaches φ
    assert phi.grad.tolist() == [2.0, 2.0]


def test_backward_adds_the_penalty_and_touches_only_the_named_inputs():
    phi, trunk = PHI.clone().requires_grad_(), torch.eye(4, dtype=torch.float64, requires_grad=True)
    idle = torch.ones(1, requires_grad=True)
    state = {"h": trunk @ (phi @ X), "y": Y}
    meta = double_backward(state, quadratic, {"w": W}, partial(Dot(), [G_DOWN]))
    meta.backward(state, [phi, idle], penalty=3 * phi.sum())
    torch.testing.assert_close(phi.grad, 3 - torch.outer(by_hand(G_DOWN, PHI @ X), X))
    assert trunk.grad is None and idle.grad is None


@both
def test_scaling_the_loss_leaves_the_cosine_gradient_and_scales_the_dot_gradient(estimator):
    state = {"h": (PHI @ X).requires_grad_(), "y": Y}

    def hundredfold(state, params):
        return 100 * quadratic(state, params)

    for rule, factor in ((Cosine(), 1.0), (Dot(), 100.0)):
        once = estimator(state, quadratic, {"w": W}, partial(rule, [G_DOWN]))
        scaled = estimator(state, hundredfold, {"w": W}, partial(rule, [G_DOWN]))
        torch.testing.assert_close(scaled.value, factor * once.value)
        torch.testing.assert_close(
            scaled.cotangents["h"], factor * once.cotangents["h"], rtol=1e-8, atol=1e-8 * float(factor)
        )


class Shaky(nn.Module):
    """A tail with dropout and batch statistics, as an objective whose student is a linear layer."""

    def __init__(self):
        super().__init__()
        self.norm, self.drop = nn.BatchNorm1d(8), nn.Dropout(0.5)

    def finish(self, student, state):
        return (self.drop(self.norm(student(state["h"]))) ** 3).sum()


def shaky():
    torch.manual_seed(0)
    objective, student = Shaky().double(), nn.Linear(4, 8).double()
    state = {"h": torch.randn(16, 4, dtype=torch.float64, requires_grad=True)}
    g_down = [torch.randn_like(p) for p in student.parameters()]
    return objective, student, state, g_down


def test_all_passes_draw_the_same_random_numbers():
    objective, student, state, g_down = shaky()
    tail, params = functional_tail(objective, student), dict(student.named_parameters())
    metas = {}
    for estimator in (double_backward, central_difference, forward_difference):
        torch.manual_seed(7)
        meta = estimator(state, tail, params, partial(Cosine(), g_down))
        metas[estimator] = meta, torch.rand(())
    exact, next_number = metas.pop(double_backward)
    for difference, number in metas.values():
        torch.testing.assert_close(difference.value, exact.value)
        assert cosine([difference.cotangents["h"]], [exact.cotangents["h"]]) > 0.99999
        assert number == next_number  # the generator is left where one pass leaves it


@every
def test_the_meta_step_leaves_no_trace_in_the_learner(estimator):
    objective, student, state, g_down = shaky()
    before = {n: t.clone() for m in (objective, student) for n, t in m.state_dict().items()}
    estimator(state, functional_tail(objective, student), dict(student.named_parameters()), partial(Cosine(), g_down))
    after = {n: t for m in (objective, student) for n, t in m.state_dict().items()}
    assert all(torch.equal(before[n], after[n]) for n in before)
    assert all(p.grad is None for m in (objective, student) for p in m.parameters())
    assert state["h"].grad is None


@differences
def test_differences_refuse_low_precision(estimator):
    state, params, rule = {"h": (PHI @ X).requires_grad_(), "y": Y}, {"w": W}, partial(Dot(), [G_DOWN])
    with (
        torch.autocast("cpu", torch.bfloat16),
        pytest.raises(ValueError, match=r"under torch.bfloat16 autocast.*use double_backward"),
    ):
        estimator(state, quadratic, params, rule)
    with pytest.raises(ValueError, match=r"h is torch.bfloat16, float32 is needed"):
        estimator({**state, "h": state["h"].bfloat16()}, quadratic, params, rule)
    with pytest.raises(ValueError, match=r"w is torch.float16"):
        estimator(state, quadratic, {"w": W.half()}, rule)


def test_rest_over_other_parameters_is_refused():
    state = {"h": (PHI @ X).requires_grad_(), "y": Y}
    with pytest.raises(ValueError, match="do not belong to the same parameters"):
        double_backward(state, quadratic, {"w": W}, partial(Dot(), [G_DOWN]), rest=[REST[:2]])
