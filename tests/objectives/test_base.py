"""What holds for every registered objective: the two halves, gradients, weights, resuming, bf16, the docs."""

import re
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from vssl import objectives
from vssl.draws import Draws
from vssl.learner.learner import Learner
from vssl.objectives import MAE, OBJECTIVES, Objective, SimCLR, catalogue
from vssl.objectives.base import WEIGHTS
from vssl.views.crops import Views

DOCS = Path(__file__).parents[2] / "docs"


def loss_of(objective, backbone, teacher, views):
    return objective(backbone, teacher, views, Draws(0, "views"))


def test_begin_then_finish_is_the_whole_loss(objective, backbone, make_views, make_teacher):
    views, teacher = make_views(objective), make_teacher(backbone, objective)
    state = objective.begin(backbone, teacher, views, Draws(0, "views"))
    assert all(isinstance(entry, torch.Tensor) for entry in state.values())
    assert torch.equal(objective.finish(backbone, state), loss_of(objective, backbone, teacher, views))


def test_only_finish_depends_on_the_aligned_parameters(objective, backbone, make_views, make_teacher):
    views, teacher = make_views(objective), make_teacher(backbone, objective)
    before = objective.begin(backbone, teacher, views, Draws(0, "views"))
    loss = objective.finish(backbone, before)
    with torch.no_grad():
        for parameter in backbone.aligned_parameters().values():
            parameter.add_(0.1 * torch.randn_like(parameter))
    after = objective.begin(backbone, teacher, views, Draws(0, "views"))
    assert before.keys() == after.keys() and all(torch.equal(before[n], after[n]) for n in before)
    assert (
        objective.finish(backbone, after) - loss
    ).abs() > 1e-6  # in fp64; how far it moves depends on the numbers drawn


def test_every_parameter_outside_the_aligned_ones_acts_through_the_state(objective, backbone, make_views, make_teacher):
    state = objective.begin(backbone, make_teacher(backbone, objective), make_views(objective), Draws(0, "views"))
    cut = {name: entry.detach() for name, entry in state.items()}
    objective.finish(backbone, cut).backward()
    reached = {name for name, parameter in backbone.named_parameters() if parameter.grad is not None}
    assert reached == set(backbone.aligned_parameters())


def test_gradient_to_the_views_is_that_of_finite_differences(objective, backbone, make_views, make_teacher):
    views, teacher = make_views(objective), make_teacher(backbone, objective)
    crops = views.global_crops.requires_grad_()
    state = objective.begin(backbone, teacher, views, Draws(0, "views"))
    (gradient,) = torch.autograd.grad(objective.finish(backbone, state), crops)
    # What a teacher says is detached.
    constants = {n: entry for n, entry in state.items() if objective.uses_teacher and not entry.requires_grad}
    direction, step = torch.randn_like(crops), 1e-5

    def moved(sign):
        elsewhere = replace(views, global_crops=crops.detach() + sign * step * direction)
        return objective.finish(backbone, objective.begin(backbone, teacher, elsewhere, Draws(0, "views")) | constants)

    with torch.no_grad():
        expected = (moved(+1) - moved(-1)) / (2 * step)
    assert (gradient * direction).sum().item() == pytest.approx(expected.item(), rel=1e-6)


def test_finish_has_a_second_derivative_with_math_attention(objective, backbone, make_views, make_teacher):
    """d/dh ⟨v, ∇_{θ_S} loss⟩, h the trunk's output, against finite differences; MAE's decoder included."""
    if not objective.twice_differentiable:
        return
    state = objective.begin(backbone, make_teacher(backbone, objective), make_views(objective), Draws(0, "views"))
    name = next(name for name in state if name.endswith(".x"))
    h, parameters = state[name].detach().requires_grad_(), list(backbone.aligned_parameters().values())
    v = [torch.randn_like(p) for p in parameters]

    def along(h):
        gradient = torch.autograd.grad(objective.finish(backbone, state | {name: h}), parameters, create_graph=True)
        return sum((g * d).sum() for g, d in zip(gradient, v, strict=True))

    with sdpa_kernel(SDPBackend.MATH):
        (exact,) = torch.autograd.grad(along(h), h)
        direction, step = torch.randn_like(h), 1e-7  # truncation 1e-9 relative, rounding less
        expected = (along(h + step * direction) - along(h - step * direction)) / (2 * step)
    assert (exact * direction).sum().item() == pytest.approx(expected.item(), rel=1e-5)


def test_detached_views_give_the_learner_the_same_gradient(objective, backbone, make_views, make_teacher):
    views, teacher = make_views(objective), make_teacher(backbone, objective)
    parameters = [p for p in [*backbone.parameters(), *objective.parameters()] if p.requires_grad]

    def gradient(views):
        loss = loss_of(objective, backbone, teacher, views)
        return torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)

    with_graph = gradient(replace(views, global_crops=views.global_crops.clone().requires_grad_()))
    assert all(torch.equal(a, b) for a, b in zip(with_graph, gradient(views.detach()), strict=True))


def test_evaluating_changes_nothing(objective, backbone, make_views, make_teacher):
    views, teacher = make_views(objective), make_teacher(backbone, objective)
    before = {name: value.clone() for name, value in objective.state_dict().items()}
    loss_of(objective, backbone, teacher, views)
    assert all(torch.equal(value, before[name]) for name, value in objective.state_dict().items())


def test_a_split_state_adds_up_to_the_loss_and_its_rest_has_no_gradient_to_the_global_crops(
    objective, backbone, make_views, make_teacher
):
    views, teacher = make_views(objective), make_teacher(backbone, objective)
    crops = views.global_crops.requires_grad_()
    state = objective.begin(backbone, teacher, views, Draws(0, "views"))
    first, rest = objective.split(state)
    whole = objective.finish(backbone, state)
    if rest is None:
        assert first is state and not objective.takes_local_crops
        return
    parts = objective.finish(backbone, first), objective.finish(backbone, rest)
    assert sum(parts).item() == pytest.approx(whole.item(), rel=1e-12)
    by_whole, by_first = (torch.autograd.grad(loss, crops, retain_graph=True)[0] for loss in (whole, parts[0]))
    torch.testing.assert_close(by_first, by_whole, rtol=1e-10, atol=1e-14)
    assert torch.autograd.grad(parts[1], crops, allow_unused=True) == (None,)


def test_weights_make_the_loss_a_weighted_mean_of_the_images_losses(objective, backbone, make_views, make_teacher):
    state = objective.begin(backbone, make_teacher(backbone, objective), make_views(objective), Draws(0, "views"))
    if not objective.weighs_images:
        with pytest.raises(ValueError, match="one number for the whole batch, images have no weight"):
            objective.finish(backbone, state | {WEIGHTS: torch.ones(4).double()})
        return
    each = torch.stack([objective.finish(backbone, state | {WEIGHTS: one}) for one in torch.eye(4).double()])
    assert each.mean().item() == pytest.approx(objective.finish(backbone, state).item(), rel=1e-12)
    weights = torch.rand(4).double() + 0.5
    weighted = objective.finish(backbone, state | {WEIGHTS: weights})
    assert weighted.item() == pytest.approx(((weights * each).sum() / weights.sum()).item(), rel=1e-12)


def test_an_image_enters_the_losses_of_others_only_where_the_objective_says_so(
    objective, backbone, make_views, make_teacher
):
    if not objective.weighs_images:  # then all share one loss
        assert objective.couples_images
        return
    views, teacher = make_views(objective), make_teacher(backbone, objective)
    first = torch.tensor([1.0, 0, 0, 0]).double()

    def loss_of_the_first(views):
        return objective.finish(
            backbone, objective.begin(backbone, teacher, views, Draws(0, "views")) | {WEIGHTS: first}
        )

    crops = views.global_crops.clone()
    crops[:, 1:] = 1 - crops[:, 1:]
    change = loss_of_the_first(views) - loss_of_the_first(replace(views, global_crops=crops))
    assert (change.abs() > 1e-9) == bool(objective.couples_images)


def test_a_resumed_learner_goes_on_exactly(objective, backbone, make_views):
    learner = Learner(backbone, objective)
    step_from(learner, make_views(objective), 0)
    kind = type(objective)
    local = {"n_local_crops": 3} if kind.takes_local_crops else {}
    other_backbone = deepcopy(backbone)
    resumed = Learner(other_backbone, kind(other_backbone, **kind.small(backbone.embed_dim), **local).double())
    resumed.load_state_dict(learner.state_dict())
    views = make_views(objective)
    losses = [step_from(one, views, 1) for one in (learner, resumed)]
    assert torch.equal(*losses)
    assert all(torch.equal(v, resumed.state_dict()[name]) for name, v in learner.state_dict().items())


@pytest.mark.slow
def test_a_copied_learner_goes_on_exactly_and_the_original_does_not_notice(objective, backbone, make_views):
    """A rollout (vssl/engine/rollout.py) takes its steps on such a copy."""
    learner = Learner(backbone, objective)
    step_from(learner, make_views(objective), 0)
    before, copied, views = deepcopy(learner.state_dict()), deepcopy(learner), make_views(objective)
    loss = step_from(copied, views, 1)
    assert all(torch.equal(value, before[name]) for name, value in learner.state_dict().items())
    assert torch.equal(step_from(learner, views, 1), loss)
    assert all(torch.equal(value, copied.state_dict()[name]) for name, value in learner.state_dict().items())


def step_from(learner, views, step):
    """One step of gradient descent with all that the loop calls; returns the loss."""
    learner.objective.on_step(step, progress=step / 10)
    loss, state = learner(views, Draws(0, "views", step))
    parameters = [p for p in learner.parameters() if p.requires_grad]
    gradients = torch.autograd.grad(loss, parameters, materialize_grads=True, allow_unused=True)
    with torch.no_grad():
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.sub_(0.1 * gradient)
    learner.update_teacher(state, progress=step / 10)
    return loss.detach()


def test_bf16_autocast_gives_nearly_the_loss_and_a_finite_gradient(objective, backbone, make_views, make_teacher):
    teacher, views = make_teacher(backbone, objective), make_views(objective)
    modules = [backbone, objective] + ([] if teacher is None else [teacher])
    for module in modules:
        module.float()
    views = Views(**{name: None if entry is None else entry.float() for name, entry in vars(views).items()})
    expected = loss_of(objective, backbone, teacher, views)
    with torch.autocast("cpu", torch.bfloat16):
        loss = loss_of(objective, backbone, teacher, views)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(expected.item(), rel=0.05)
    parameters = [*backbone.parameters(), *(p for p in objective.parameters() if p.requires_grad)]
    gradients = torch.autograd.grad(loss, parameters, materialize_grads=True, allow_unused=True)
    assert all(g.isfinite().all() for g in gradients) and any(g.abs().max() > 0 for g in gradients)


def test_the_objective_owns_its_head_and_not_the_backbone(objective, backbone):
    assert not {id(p) for p in objective.parameters()} & {id(p) for p in backbone.parameters()}


@pytest.mark.slow
def test_a_few_steps_on_one_batch_reduce_the_loss(objective, backbone, make_views, make_teacher):
    views, teacher = make_views(objective), make_teacher(backbone, objective)
    optimizer = torch.optim.Adam([*backbone.parameters(), *objective.parameters()], lr=2e-3)
    losses = []
    for _ in range(12):
        losses.append(loss_of(objective, backbone, teacher, views))
        optimizer.zero_grad()
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < 0.9 * losses[0]


def test_every_module_with_an_objective_is_registered():
    public = re.compile(r"^class [A-Z]\w*\(Objective\):", re.MULTILINE)
    files = {f.stem for f in Path(objectives.__file__).parent.glob("*.py") if public.search(f.read_text())}
    assert files <= {kind.__module__.split(".")[-1] for kind in OBJECTIVES.values()}
    assert {"DINO", "MAE", "SimCLR"} <= OBJECTIVES.keys() and "Objective" not in OBJECTIVES


def test_the_table_of_the_docs_is_that_of_the_classes():
    table = catalogue.table(OBJECTIVES)
    page = (DOCS / "objectives.md").read_text()
    assert f"\n{table}\n" in page, f"the table of docs/objectives.md should be\n{table}"
    assert all(kind.paper and kind.works_on for kind in OBJECTIVES.values())


def test_the_example_of_an_objective_is_one_and_learns(vit, make_views, make_teacher):
    example = (
        (DOCS / "extending.md").read_text().split("## Add an objective")[1].split("```python\n")[1].split("```")[0]
    )
    names = {}
    exec(example, names)
    kind = names["BYOL"]
    test_a_few_steps_on_one_batch_reduce_the_loss(kind(vit, **kind.small(32)).double(), vit, make_views, make_teacher)
    assert "| `BYOL` | 2 / 0 | mean of patch tokens | EMA | no | `global.x`, `targets` |" in catalogue.table(
        {"BYOL": kind}
    )


def test_another_number_of_global_crops_is_refused(vit):
    with pytest.raises(ValueError, match=r"SimCLR needs 2 global crop.* have 1; give the recipe n_global_crops=2"):
        SimCLR(vit)(vit, None, Views(torch.rand(1, 2, 3, 32, 32).double()), Draws(0, "views"))


def test_an_objective_without_a_teacher_has_no_momentum(vit):
    with pytest.raises(TypeError, match="MAE has no teacher"):
        MAE(vit, decoder_dim=32, decoder_depth=1, decoder_heads=2).teacher_momentum(0.5)
    assert MAE(vit, decoder_dim=32, decoder_depth=1, decoder_heads=2).teacher_modules() == {}


def test_a_subclass_must_say_how_its_loss_is_computed(vit):
    with pytest.raises(TypeError, match="Objective does not say how its loss begins"):
        Objective()(vit, None, Views(torch.rand(1, 2, 3, 32, 32)), Draws(0, "views"))
