"""I-JEPA: its blocks, and its loss against lightly's predictor."""

import pytest
import torch
import torch.nn.functional as F
from lightly.models.modules.ijepa_timm import IJEPAPredictorTIMM

from vssl.draws import Draws
from vssl.learner import TimmBackbone
from vssl.learner.backbone import Tokens
from vssl.objectives import IJEPA
from vssl.objectives.multiblock import MultiBlockMasks
from vssl.objectives.targets import patchify
from vssl.views.crops import Views

SMALL = {"predictor_dim": 16, "predictor_depth": 2, "predictor_heads": 2, "min_keep": 0}


@pytest.fixture
def images():
    return torch.rand(3, 3, 32, 32).double()


@pytest.fixture
def plain():
    """As the authors' ViTs: no class token."""
    size = {"img_size": 32, "patch_size": 8, "embed_dim": 32, "depth": 3, "num_heads": 2}
    return TimmBackbone("vit_tiny_patch16_224", class_token=False, **size).double()


def masks_of(draws, batch=6, grid=(16, 16), **settings):
    return MultiBlockMasks(**settings)(draws, batch, grid)


def test_the_loss_is_that_of_lightlys_predictor(plain, make_teacher, images):
    objective = IJEPA(plain, **SMALL).double()
    teacher = make_teacher(plain, objective)
    state = objective.begin(plain, teacher, Views(images[None]), Draws(0, "views"))
    theirs = IJEPAPredictorTIMM(16, 2, 32, 16, 2).double()
    ours = objective.predictor.state_dict()
    names = {"predictor_embed": "embed", "predictor_proj": "predict"}

    def own(name):
        first, rest = name.split(".", 1)
        return (
            state["positions"][None]
            if rest == "pos_embed"
            else ours[f"{names[first]}.{rest}" if first in names else rest]
        )

    theirs.load_state_dict({name: own(name) for name in theirs.state_dict()})
    context, targets = state["context"], list(state["targets"].unbind(1))
    predicted = theirs(plain.tail(plain.trunk(images, context)), [context], targets)
    whole = F.layer_norm(teacher.backbone(images), (32,))
    rows = torch.arange(3).unsqueeze(1)
    expected = F.smooth_l1_loss(predicted, torch.cat([whole[rows, target] for target in targets]))
    assert objective.finish(plain, state).item() == pytest.approx(expected.item(), rel=1e-12)
    of_patches = objective.losses(plain, state)
    assert of_patches.shape == state["targets"].shape and of_patches.mean().item() == pytest.approx(expected.item())


def test_targets_are_rectangles_of_one_size_and_the_context_holds_none_of_them():
    for step in range(20):
        context, targets = masks_of(Draws(0, "masks", step))
        rows, columns = targets // 16, targets % 16
        height, width = (axis.amax(2) - axis.amin(2) + 1 for axis in (rows, columns))
        assert (height * width == targets.shape[2]).all() and (height == height[0, 0]).all()
        assert 0.15 * 256 - 8 <= targets.shape[2] <= 0.2 * 256 + 8 and 0.7 < (height[0, 0] / width[0, 0]) < 1.6
        assert context.shape[1] > 10 and (context.diff(dim=1) > 0).all()
        assert not (context.unsqueeze(2) == targets.flatten(1).unsqueeze(1)).any()


def test_blocks_reach_every_patch():
    seen, hidden = torch.zeros(256), torch.zeros(256)
    for step in range(60):
        context, targets = masks_of(Draws(0, "masks", step))
        seen += torch.bincount(context.flatten(), minlength=256)
        hidden += torch.bincount(targets.flatten(), minlength=256)
    assert (hidden > 0).all() and (seen[:240] > 0).all()


def test_all_contexts_are_as_large_as_the_smallest_of_all_ranks():
    whole = masks_of(Draws(0, "masks", 3), batch=6)
    for rank in range(2):
        part = masks_of(Draws(0, "masks", 3, rank, 2), batch=3)
        assert all(torch.equal(own, of_all[rank::2]) for own, of_all in zip(part, whole, strict=True))


def test_where_targets_leave_too_little_the_last_are_not_cut_out():
    settings = {"target_scale": (0.8, 0.8), "target_aspect": (1.0, 1.0), "min_keep": 60}
    context, targets = masks_of(Draws(0, "masks"), **settings)
    first = targets[:, :1]
    assert context.shape[1] > 60
    assert (context.unsqueeze(2) == first.flatten(1).unsqueeze(1)).any()  # even the first was given up


def test_small_grids_work_or_say_what_to_change():
    context, targets = masks_of(Draws(0, "masks"), grid=(8, 8), min_keep=4)
    assert targets.shape[2] in (9, 12) and context.shape[1] > 4
    with pytest.raises(ValueError, match=r"a target can have 3x3 patches on a grid of 8x8, not more than min_keep=10"):
        masks_of(Draws(0, "masks"), grid=(8, 8))
    with pytest.raises(ValueError, match=r"target_scale=\(0.0, 0.2\) must be"):
        MultiBlockMasks(target_scale=(0.0, 0.2))
    with pytest.raises(ValueError, match="n_targets=0 must be 1 or more"):
        MultiBlockMasks(n_targets=0)


def test_the_student_sees_the_context_alone(plain, make_teacher, images):
    objective, images = IJEPA(plain, **SMALL).double(), images.requires_grad_()
    state = objective.begin(plain, make_teacher(plain, objective), Views(images[None]), Draws(0, "views"))
    (gradient,) = torch.autograd.grad(state["context.x"].square().sum(), images)
    moved = patchify(gradient, 8).abs().amax(-1)
    is_seen = torch.zeros(3, 16, dtype=torch.bool).scatter(1, state["context"], True)
    assert (moved[is_seen] > 0).all() and (moved[~is_seen] == 0).all()


def test_the_gradient_flows_through_the_teacher_if_it_shall(backbone, make_teacher, images):
    gradients = {}
    for flow in (False, True):
        torch.manual_seed(0)
        objective = IJEPA(backbone, flow_through_teacher=flow, **SMALL).double()
        torch.manual_seed(1)
        teacher, crops = make_teacher(backbone, objective), images.clone().requires_grad_()
        state = objective.begin(backbone, teacher, Views(crops[None]), Draws(0, "views"))
        assert state["features"].requires_grad == flow
        (gradients[flow],) = torch.autograd.grad(objective.finish(backbone, state), crops)

    def loss(step):
        return objective(backbone, teacher, Views((images + step * direction)[None]), Draws(0, "views"))

    direction = torch.randn_like(images)
    with torch.no_grad():
        expected = (loss(1e-5) - loss(-1e-5)) / 2e-5
    assert (gradients[True] * direction).sum().item() == pytest.approx(expected.item(), rel=1e-6)
    assert (gradients[False] * direction).sum().item() != pytest.approx(expected.item(), rel=0.05)


def test_several_layers_are_targets_and_components(vit, make_teacher, images):
    """Features after blocks 1 and 3, as hooks see them, against one predictor's two halves; the loss is their mean."""
    objective = IJEPA(vit, target_layers=(3, 1), **SMALL).double()
    teacher, after = make_teacher(vit, objective), {}
    blocks = teacher.backbone.vit.blocks
    hooks = [blocks[i].register_forward_hook(lambda *call, i=i: after.update({i: call[2]})) for i in range(3)]
    state = objective.begin(vit, teacher, Views(images[None]), Draws(0, "views"))
    for hook in hooks:
        hook.remove()
    rows = torch.arange(3).view(3, 1, 1)
    expected = {}
    for place, (name, tokens) in enumerate({"layer3": teacher.backbone.vit.norm(after[2]), "layer1": after[0]}.items()):
        targets = F.layer_norm(tokens[:, 1:], (32,))[rows, state["targets"]]
        tail = vit.tail(Tokens(state["context.x"]))
        predicted = objective.predictor(tail, state["context"], state["targets"], state["positions"])
        predicted = predicted[..., 32 * place : 32 * (place + 1)]
        expected[name] = F.smooth_l1_loss(predicted, targets, reduction="none").mean(-1)
    found = objective.loss_components(vit, state)
    assert list(found) == ["layer3", "layer1"] and objective.component_weights() == {"layer3": 0.5, "layer1": 0.5}
    torch.testing.assert_close(found, expected)
    mean = (expected["layer3"].mean() + expected["layer1"].mean()) / 2
    assert objective.finish(vit, state).item() == pytest.approx(mean.item(), rel=1e-12)
    torch.testing.assert_close(objective.patch_losses(vit, state)["patches"], sum(expected.values()).flatten() / 2)
    objective.weigh({"layer1": 3.0, "layer3": 1.0})
    mean = 0.75 * expected["layer1"].mean() + 0.25 * expected["layer3"].mean()
    assert objective.finish(vit, state).item() == pytest.approx(mean.item(), rel=1e-12)
    objective.weigh(None)
    assert objective.component_weights() == {"layer3": 0.5, "layer1": 0.5}


def test_the_last_layer_by_its_number_is_the_default_to_the_last_bit(vit, make_teacher, images):
    losses = []
    for settings in ({}, {"target_layers": [3]}):
        torch.manual_seed(0)
        objective = IJEPA(vit, **SMALL, **settings).double()
        objective.adopt(dict.fromkeys(objective.component_weights(), 1.0))
        losses.append(objective(vit, make_teacher(vit, objective), Views(images[None]), Draws(0, "v")))
        losses.extend(torch.autograd.grad(losses[-1], list(vit.aligned_parameters().values())))
    assert all(map(torch.equal, losses[: len(losses) // 2], losses[len(losses) // 2 :]))


@pytest.mark.parametrize("layers", [(), (0, 3), (1, 1), (4,), (-1,)])
def test_layers_that_the_teacher_does_not_have_are_refused(vit, layers):
    with pytest.raises(ValueError, match=r"give one or more of the 3 blocks of vit_tiny_patch16_224, counted from 1"):
        IJEPA(vit, target_layers=layers, **SMALL)
    with pytest.raises(ValueError, match="IJEPA: the loss has no component 'features'; it has layer2, layer3"):
        IJEPA(vit, target_layers=(2, 3), **SMALL).weigh({"features": 1.0})


def test_the_momentum_follows_a_line(plain):
    objective = IJEPA(plain, **SMALL)
    assert [objective.teacher_momentum(p) for p in (0.0, 0.5, 1.0)] == pytest.approx([0.996, 0.998, 1.0])
    with pytest.raises(ValueError, match="IJEPA predictor_dim=30 must be a multiple of 4 and of predictor_heads=2"):
        IJEPA(plain, predictor_dim=30, predictor_heads=2)
