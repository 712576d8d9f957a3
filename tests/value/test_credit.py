"""Credit is the exact derivative of every loss along v."""

from functools import partial

import pytest
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from vssl.draws import Draws
from vssl.learner import TimmBackbone
from vssl.learner.teacher import EMATeacher
from vssl.objectives import OBJECTIVES
from vssl.value import credit, functional_components
from vssl.views.crops import Views

NAMES = sorted(OBJECTIVES)
TOLD_APART = [
    ("DINO", {"crop_pairs": True}, {"global_pairs", "local_pairs"}),
    ("DINOv3", {"crop_pairs": True}, {"global_pairs", "local_pairs", "patch", "koleo", "gram"}),
    ("IJEPA", {"target_layers": (1, 3)}, {"layer1", "layer3"}),
]
"""Settings that make more components of a loss."""


def setting(name: str, aligned_blocks: int, dtype=torch.float64, **settings):
    torch.manual_seed(0)
    kind = OBJECTIVES[name]
    student = TimmBackbone(
        "vit_tiny_patch16_224", img_size=32, patch_size=8, embed_dim=32, depth=3, num_heads=2,
        aligned_blocks=aligned_blocks,
    ).to(dtype)  # fmt: skip
    local = {"n_local_crops": 2} if kind.takes_local_crops else {}
    objective = kind(student, **kind.small(32), **local, **settings).to(dtype)
    teacher = EMATeacher(student, objective.teacher_modules()).to(dtype) if objective.uses_teacher else None
    crops = torch.rand(objective.n_global_crops, 4, 3, 32, 32, dtype=dtype)
    boxes = torch.tensor([0.0, 0.0, 1.0, 1.0], dtype=torch.float32)
    views = Views(
        crops,
        torch.rand(2, 4, 3, 16, 16, dtype=dtype) if local else None,
        global_boxes=boxes.expand(len(crops), 4, 4),
        local_boxes=(boxes * 0.5).expand(2, 4, 4) if local else None,
    )
    with torch.no_grad():
        state = objective.begin(student, teacher, views, Draws(0, "x"))
    params = student.aligned_parameters()
    v = [torch.randn_like(p) for p in params.values()]
    return objective, student, state, params, v


@pytest.mark.parametrize("aligned_blocks", [1, 3])
@pytest.mark.parametrize("name", NAMES)
def test_credit_is_the_product_of_v_and_the_gradient_of_each_component(name, aligned_blocks):
    objective, student, state, params, v = setting(name, aligned_blocks)
    found = credit(partial(functional_components(objective, student), state), params, v)
    for component, losses in objective.loss_components(student, state).items():
        assert found[component].shape == losses.shape
        gradient = torch.autograd.grad(losses.mean(), list(params.values()), retain_graph=True, materialize_grads=True)
        exact = sum((g * d).sum() for g, d in zip(gradient, v, strict=True))
        assert found[component].mean().item() == pytest.approx(exact.item(), rel=1e-2)


@pytest.mark.parametrize("name", ["DINO", "MAE", "SimCLR"])
def test_credit_of_each_image_is_exact(name):
    objective, student, state, params, v = setting(name, 2)
    found = credit(partial(functional_components(objective, student), state), params, v)
    for component, losses in objective.loss_components(student, state).items():
        loss = losses.flatten(1).mean(1) if losses.ndim > 1 else losses
        gradient = torch.autograd.grad(loss[1], list(params.values()), retain_graph=True)
        exact = sum((g * d).sum() for g, d in zip(gradient, v, strict=True))
        per_image = found[component].flatten(1).mean(1) if losses.ndim > 1 else found[component]
        assert per_image[1].item() == pytest.approx(exact.item(), rel=1e-8)


@pytest.mark.parametrize("name", NAMES)
def test_the_loss_is_the_weighted_sum_of_its_components(name):
    objective, student, state, _, _ = setting(name, 2)
    components, weights = objective.loss_components(student, state), objective.component_weights()
    assert components.keys() <= weights.keys()
    total = sum(weights[component] * losses.mean() for component, losses in components.items())
    assert total.item() == pytest.approx(objective.finish(student, state).item(), rel=1e-10)


@pytest.mark.parametrize(("name", "settings", "components"), TOLD_APART)
def test_credit_of_what_is_told_apart_is_that_of_double_backward_and_of_differences(name, settings, components):
    """∂⟨v, ∇Σ w_k·L_k⟩/∂w_k by a second derivative, and (L_k(θ + εv) − L_k(θ − εv)) / 2ε."""
    objective, student, state, params, v = setting(name, 2, **settings)
    losses = partial(functional_components(objective, student), state)
    found = {component: of.mean() for component, of in credit(losses, params, v).items()}
    assert found.keys() == components == objective.component_weights().keys()

    weights = {component: torch.ones((), dtype=torch.float64, requires_grad=True) for component in found}
    with sdpa_kernel(SDPBackend.MATH):
        loss = sum(weights[component] * of.mean() for component, of in losses(dict(params)).items())
        gradient = torch.autograd.grad(loss, list(params.values()), create_graph=True)
    value = sum((g * d).sum() for g, d in zip(gradient, v, strict=True))
    for component, exact in zip(weights, torch.autograd.grad(value, list(weights.values())), strict=True):
        assert found[component].item() == pytest.approx(exact.item(), rel=1e-9, abs=1e-12)

    step = 1e-6
    with torch.no_grad():
        ahead, behind = (
            losses({n: p + sign * step * d for (n, p), d in zip(params.items(), v, strict=True)}) for sign in (1, -1)
        )
    for component in found:
        slope = (ahead[component].mean() - behind[component].mean()) / (2 * step)
        assert found[component].item() == pytest.approx(slope.item(), rel=1e-5, abs=1e-8)


def test_without_forward_differentiation_a_difference_is_taken():
    class Backward(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x.sin()

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return g * x.cos()

    point = {"w": torch.linspace(0.1, 1.0, 5, dtype=torch.float64)}
    v = [torch.ones(5, dtype=torch.float64)]
    found = credit(lambda params: {"a": Backward.apply(params["w"]), "b": params["w"].square()}, point, v)
    torch.testing.assert_close(found["a"], point["w"].cos(), rtol=1e-4, atol=0)
    torch.testing.assert_close(found["b"], 2 * point["w"], rtol=1e-8, atol=0)


def test_another_error_is_not_hidden():
    def broken(params):
        raise RuntimeError("no such kernel")

    with pytest.raises(RuntimeError, match="no such kernel"):
        credit(broken, {"w": torch.ones(2)}, [torch.ones(2)])


def test_no_gradient_graph_is_left_and_no_weight_is_moved():
    layer = nn.Linear(3, 1)
    before = layer.weight.detach().clone()
    params = {"weight": layer.weight}
    found = credit(lambda p: {"a": torch.nn.functional.linear(torch.ones(2, 3), p["weight"])}, params, [before])
    assert not found["a"].requires_grad and torch.equal(layer.weight, before)
