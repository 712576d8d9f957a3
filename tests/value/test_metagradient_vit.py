"""Both estimators on a small ViT, real objectives and a U-Net-like mask: what the loop runs, in small."""

from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from vssl.draws import Draws
from vssl.learner import TimmBackbone
from vssl.objectives import MAE, SimCLR
from vssl.value import (
    Adam,
    Bound,
    Cosine,
    Dot,
    central_difference,
    cosine,
    double_backward,
    forward_difference,
    functional_tail,
    norm,
)
from vssl.views.crops import Views

RULES = {"dot": Dot(), "cosine": Cosine(), "bound": Bound(0.1, 5.0), "adam": Adam()}


class Mask(nn.Module):
    """A soft mask from a small encoder and decoder with a skip connection; masked pixels are blurred."""

    def __init__(self):
        super().__init__()
        self.down, self.up = nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(7, 1, 3, 1, 1)

    def forward(self, images, crops=2):
        coarse = F.interpolate(F.gelu(self.down(images)), scale_factor=2, mode="bilinear")
        mask = self.up(torch.cat([images, coarse], 1)).sigmoid()
        shift = images.roll(1, -1)
        views = mask * images + (1 - mask) * F.avg_pool2d(images, 5, 1, 2)
        return Views(torch.stack([views, mask * shift + (1 - mask) * F.avg_pool2d(shift, 5, 1, 2)][:crops]))


class Setting:
    def __init__(self, objective=SimCLR, aligned_blocks=2, dtype=torch.float32, **model_args):
        torch.manual_seed(0)
        self.student = TimmBackbone(
            "vit_tiny_patch16_224",
            aligned_blocks=aligned_blocks,
            **{"img_size": 16, "patch_size": 4, "embed_dim": 32, "depth": 3, "num_heads": 2, **model_args},
        )
        sizes = {"decoder_dim": 16, "decoder_depth": 1, "decoder_heads": 2} if objective is MAE else {"hidden_dim": 32}
        self.objective, self.mask = objective(self.student, **sizes).to(dtype), Mask().to(dtype)
        if objective is SimCLR:
            # A ReLU that changes sign between θ_S ± εv spoils a central difference; see the test of that below.
            self.objective.head[1] = nn.GELU()
        self.student.to(dtype)
        self.images = torch.rand(8, 3, 16, 16, dtype=dtype)
        self.params = self.student.aligned_parameters()
        generator = torch.Generator().manual_seed(1)
        self.g_down = [torch.randn(p.shape, generator=generator, dtype=dtype) * p.norm() for p in self.params.values()]
        self.scale = [torch.rand(p.shape, generator=generator, dtype=dtype) for p in self.params.values()]

    def rule(self, name):
        return partial(RULES[name], self.g_down, preconditioner=lambda: self.scale)

    def begin(self):
        views = self.mask(self.images, self.objective.n_global_crops)
        return self.objective.begin(self.student, None, views, Draws(0, "meta views"))

    def meta(self, estimator, rule="cosine"):
        torch.manual_seed(3)  # drop-path
        self.mask.zero_grad()
        state = self.begin()
        meta = estimator(state, functional_tail(self.objective, self.student), self.params, self.rule(rule))
        meta.backward(state, self.mask.parameters())
        return meta, [p.grad.clone() for p in self.mask.parameters()]

    def whole(self, rule="cosine"):
        """−∂value/∂φ by one graph through views, trunk and tail, with nothing split and nothing shared."""
        state = self.begin()
        loss = self.objective.finish(self.student, state)
        g_pre = torch.autograd.grad(loss, list(self.params.values()), create_graph=True)
        value = self.rule(rule)(g_pre).value
        return [-g for g in torch.autograd.grad(value, list(self.mask.parameters()))]


def relative_error(a, b):
    return float(norm([x - y for x, y in zip(a, b, strict=True)]) / norm(b))


@pytest.mark.parametrize("objective", [SimCLR, MAE])
@pytest.mark.parametrize("aligned_blocks", [2, 3])
@pytest.mark.parametrize("rule", RULES)
def test_estimators_agree_in_fp32(objective, aligned_blocks, rule):
    setting = Setting(objective, aligned_blocks)
    exact, exact_gradient = setting.meta(double_backward, rule)
    for estimator in (central_difference, forward_difference):
        difference, gradient = setting.meta(estimator, rule)
        torch.testing.assert_close(difference.value, exact.value, rtol=1e-4, atol=1e-6)
        assert cosine(gradient, exact_gradient) >= 0.9999
        assert relative_error(gradient, exact_gradient) < 1e-2


@pytest.mark.parametrize("scale", [1e-2, 1.0, 1e2])
@pytest.mark.parametrize("estimator", [central_difference, forward_difference])
def test_the_chosen_step_does_not_depend_on_how_large_the_weights_are(estimator, scale):
    # L = Σ exp(h·(w/scale − 3)): ‖θ_S‖ and the length over which the gradient changes grow together.
    torch.manual_seed(0)
    state = {"h": torch.rand(64, requires_grad=True)}
    params, v = {"w": scale * 4 * torch.ones(64)}, torch.rand(64)

    def tail(state, params):
        return ((params["w"] / scale - 3) * state["h"]).exp().sum()

    rule = partial(Dot(), [v])
    exact = double_backward(state, tail, params, rule).cotangents["h"]
    chosen = estimator(state, tail, params, rule).cotangents["h"]
    assert relative_error([chosen], [exact]) < (1e-3 if estimator is central_difference else 5e-3)


def test_a_chosen_step_is_tried_again_only_where_it_moved_the_gradient_too_far_or_hardly():
    passes = []

    def tail(state, params):  # ∂L/∂h = s·(w − 1) + 1: a step of ε moves it by s·ε
        passes.append(1)
        return (state["h"] * (state["slope"] * (params["w"] - 1) + 1)).sum()

    counts = []
    for slope in (0.0, 1e-3, 1.4, 10.0):
        passes.clear()
        state = {"h": torch.ones(4, requires_grad=True), "slope": torch.tensor(slope)}
        meta = forward_difference(state, tail, {"w": torch.ones(4)}, partial(Dot(), [torch.ones(4)]))
        torch.testing.assert_close(meta.cotangents["h"], torch.full((4,), slope), rtol=5e-3, atol=1e-3)
        counts.append(len(passes))
    assert counts == [3, 3, 2, 3]


@pytest.mark.parametrize("rule", RULES)
def test_trunk_split_equals_autograd_through_the_whole_model(rule):
    setting = Setting(dtype=torch.float64)
    _, split = setting.meta(double_backward, rule)
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        whole = setting.whole(rule)
    torch.testing.assert_close(split, whole, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("aligned_blocks", [1, 3])
def test_split_holds_for_one_block_and_for_all(aligned_blocks):
    setting = Setting(MAE, aligned_blocks, dtype=torch.float64)
    _, split = setting.meta(double_backward)
    _, difference = setting.meta(central_difference)
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        torch.testing.assert_close(split, setting.whole(), rtol=1e-9, atol=1e-12)
    assert cosine(difference, split) >= 0.9999


@pytest.mark.parametrize("objective", [SimCLR, MAE])
def test_double_backward_is_the_finite_difference_over_the_designer(objective):
    setting = Setting(objective, dtype=torch.float64)
    _, gradient = setting.meta(double_backward)
    step, generator = 1e-5, torch.Generator().manual_seed(2)
    for _ in range(3):
        direction = [torch.randn(p.shape, generator=generator, dtype=torch.float64) for p in setting.mask.parameters()]
        values = []
        for sign in (1, -1):
            with torch.no_grad():
                for p, d in zip(setting.mask.parameters(), direction, strict=True):
                    p.add_(d, alpha=sign * step)
            values.append(setting.meta(double_backward)[0].value)
            with torch.no_grad():
                for p, d in zip(setting.mask.parameters(), direction, strict=True):
                    p.add_(d, alpha=-sign * step)
        slope = (values[0] - values[1]) / (2 * step)
        ours = -sum((g * d).sum() for g, d in zip(gradient, direction, strict=True))
        torch.testing.assert_close(ours, slope, rtol=1e-5, atol=1e-9)


def test_drop_path_agrees_in_all_passes():
    setting = Setting(drop_path_rate=0.5, dtype=torch.float64)
    setting.student.train()
    exact, exact_gradient = setting.meta(double_backward)
    difference, gradient = setting.meta(central_difference)
    torch.testing.assert_close(difference.g_pre, exact.g_pre)
    assert cosine(gradient, exact_gradient) >= 0.9999


def test_gradient_checkpointing_does_not_recompute_at_the_wrong_weights():
    plain, checkpointed = Setting(), Setting()
    checkpointed.student.grad_checkpointing = True
    for estimator in (double_backward, central_difference, forward_difference):
        torch.testing.assert_close(checkpointed.meta(estimator)[1], plain.meta(estimator)[1])
    assert checkpointed.student.grad_checkpointing


def test_double_backward_survives_bf16_autocast():
    setting = Setting()
    _, exact = setting.meta(double_backward)
    with torch.autocast("cpu", torch.bfloat16):
        _, gradient = setting.meta(double_backward)
        with pytest.raises(ValueError, match="double_backward"):
            setting.meta(central_difference)
    assert cosine(gradient, exact) > 0.95


def test_functional_tail_is_the_objectives_loss_at_the_given_weights():
    setting = Setting()
    state, tail = setting.begin(), functional_tail(setting.objective, setting.student)
    torch.testing.assert_close(tail(state, setting.params), setting.objective.finish(setting.student, state))
    moved = {n: p.detach() + 0.1 for n, p in setting.params.items()}
    loss = tail(state, moved)
    with torch.no_grad():
        for n, p in setting.params.items():
            p.copy_(moved[n])
    torch.testing.assert_close(loss, setting.objective.finish(setting.student, state))


@pytest.mark.parametrize("step", [1e-3, 3e-3, 1e-2])
def test_central_difference_in_fp64_converges_with_the_square_of_its_step(step):
    setting = Setting(dtype=torch.float64)
    _, exact = setting.meta(double_backward)
    errors = [
        relative_error(setting.meta(partial(central_difference, relative_step=s))[1], exact) for s in (step, step / 2)
    ]
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.05)


def test_a_relu_in_the_tail_spoils_the_central_difference_and_not_double_backward():
    # L = relu(w·h), w = 1, v = 1: the mixed derivative is 1. With ε = 2, w − εv = −1 is on the other side of the kink,
    # where ∂L/∂h is 0 instead of −1: [3 − 0]/4.
    state, params = {"h": torch.tensor([0.01], requires_grad=True)}, {"w": torch.ones(1)}

    def tail(state, params):
        return (params["w"] * state["h"]).relu().sum()

    rule = partial(Dot(), [torch.ones(1)])
    assert double_backward(state, tail, params, rule).cotangents["h"].item() == pytest.approx(1.0)
    small = central_difference(state, tail, params, rule, relative_step=0.5)
    assert small.cotangents["h"].item() == pytest.approx(1.0)
    across = central_difference(state, tail, params, rule, relative_step=2.0)
    assert across.cotangents["h"].item() == pytest.approx(3.0 / 4.0)
