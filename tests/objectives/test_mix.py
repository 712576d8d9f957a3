"""`ObjectiveMix` is the weighted sum of its parts, and weights of components are those of the parts."""

from dataclasses import replace

import pytest
import torch

from vssl.draws import Draws
from vssl.learner import TimmBackbone
from vssl.learner.learner import Learner
from vssl.objectives import DINO, IBOT, IJEPA, MAE, ObjectiveMix, SimCLR

DIM = 32
PARTS = dict(mae=dict(type=MAE, **MAE.small(DIM)), dino=dict(type=DINO, n_local_crops=3, **DINO.small(DIM)))


@pytest.fixture
def mixed(vit, make_views):
    objective = ObjectiveMix(vit, PARTS, weights=dict(dino=0.5)).double()
    return Learner(vit, objective), make_views(objective)


def loss_of(learner, views):
    return learner(views, Draws(0, "o"))[0]


def test_it_is_the_weighted_sum_of_its_parts(mixed):
    learner, views = mixed
    objective = learner.objective
    assert (objective.n_global_crops, objective.n_local_crops, objective.uses_teacher) == (2, 3, True)
    state = objective.begin(learner.student, learner.teacher, views, Draws(0, "o"))
    total = 0.0
    for name, weight in (("mae", 1.0), ("dino", 0.5)):
        own = {key.removeprefix(f"{name}/"): value for key, value in state.items() if key.startswith(f"{name}/")}
        total = total + weight * objective.parts[name].finish(learner.student, own)
    torch.testing.assert_close(loss_of(learner, views), total)
    weights, losses = objective.component_weights(), objective.loss_components(learner.student, state)
    assert weights == {"dino/cls": 0.5, "mae/pixels": 1.0}
    torch.testing.assert_close(sum(weights[name] * of.mean() for name, of in losses.items()), total)
    first, rest = objective.split(state)
    halves = objective.finish(learner.student, first) + objective.finish(learner.student, rest)
    torch.testing.assert_close(halves, total)


@pytest.mark.parametrize(
    "weights",
    [
        {"mae/pixels": 2.0, "mae/hog": 1.0, "ibot/cls": 0.5, "ibot/patch": 0.25},
        {"mae/pixels": 0.0, "mae/hog": 0.0, "ibot/cls": 1.0, "ibot/patch": 0.0},
        {"mae/hog": 3.0},
    ],
)
def test_weights_of_components_are_what_they_count(vit, make_views, weights):
    target = [dict(type="vssl.objectives.targets.Pixels"), dict(type="vssl.objectives.hog.HOG", cell=4)]
    ibot = dict(type=IBOT, n_local_crops=0, **IBOT.small(DIM))
    parts = dict(mae=dict(type=MAE, **MAE.small(DIM) | {"target": target}), ibot=ibot)
    learner = Learner(vit, ObjectiveMix(vit, parts).double())
    objective, views = learner.objective, make_views(learner.objective)
    before = loss_of(learner, views)
    state = objective.begin(learner.student, learner.teacher, views, Draws(0, "o"))
    losses = {name: of.mean() for name, of in objective.loss_components(learner.student, state).items()}
    objective.weigh(weights)
    wanted = sum(weight * losses[name] for name, weight in weights.items())
    torch.testing.assert_close(loss_of(learner, views), wanted)
    counted = objective.component_weights()
    torch.testing.assert_close(sum(counted[name] * losses[name] for name in losses), wanted)
    objective.weigh(None)
    torch.testing.assert_close(loss_of(learner, views), before)
    with pytest.raises(ValueError, match="all weights are 0"):
        objective.weigh({"mae/hog": 0.0})
    with pytest.raises(ValueError, match="no component 'mae/colours'"):
        objective.weigh({"mae/colours": 1.0})


def test_the_teacher_mirrors_the_heads_of_all_parts(mixed):
    learner, views = mixed
    assert list(learner.teacher.heads) == ["dino/head"]
    before = learner.teacher.heads["dino/head"].last.weight.clone()
    with torch.no_grad():
        learner.objective.parts["dino"].head.last.weight.add_(1.0)
    learner.update_teacher(learner(views, Draws(0, "o"))[1], progress=0.0)
    assert not torch.equal(before, learner.teacher.heads["dino/head"].last.weight)
    assert learner.objective.parts["dino"].center.any()


def test_what_is_hidden_is_a_matter_of_the_part_that_hides(mixed):
    objective = mixed[0].objective
    assert objective.own_mask_ratio() == objective.parts["mae"].own_mask_ratio()
    objective.adopt(mask_ratio=0.5)
    assert objective.parts["mae"].mask_ratio == 0.5
    objective.adopt()
    assert objective.parts["mae"].mask_ratio == objective.own_mask_ratio()


@pytest.mark.parametrize(
    ("objectives", "weights", "message"),
    [
        (dict(mae=PARTS["mae"]), None, "give two or more"),
        ({"mae": PARTS["mae"], "a b": PARTS["mae"]}, None, "named by letters"),
        (PARTS, dict(dino=0.0), "a number above 0"),
        (PARTS, dict(simclr=1.0), "a number above 0"),
        (dict(a=PARTS["dino"], b={**PARTS["dino"], "n_local_crops": 2}), None, "n_local_crops must be one number"),
        (dict(a=PARTS["dino"], b=dict(PARTS["dino"], teacher_momentum_start=0.9)), None, "teachers of other momentum"),
    ],
)
def test_parts_that_do_not_go_together_are_refused(vit, objectives, weights, message):
    with pytest.raises(ValueError, match=message):
        ObjectiveMix(vit, objectives, weights)


def test_parts_that_need_no_teacher_have_none(vit):
    objective = ObjectiveMix(vit, dict(mae=PARTS["mae"], simclr=dict(type=SimCLR, **SimCLR.small(DIM))))
    assert not objective.uses_teacher and objective.teacher_modules() == {} and objective.needs_other_images
    assert "simclr: " in objective.couples_images


def test_a_part_with_predictor_and_one_without_share_the_teacher(vit, make_views):
    ijepa = dict(type=IJEPA, **IJEPA.small(DIM))
    momentum = dict(teacher_momentum_start=0.99, teacher_momentum_end=1.0)
    parts = dict(dino=dict(PARTS["dino"], n_local_crops=0, **momentum), ijepa=dict(ijepa, **momentum))
    learner = Learner(vit, ObjectiveMix(vit, parts).double())
    assert loss_of(learner, make_views(learner.objective)).isfinite()
    assert isinstance(learner.student, TimmBackbone)


def test_losses_of_patches_are_those_of_the_parts_that_hide_some(vit, make_views):
    """Each part's is its share of the loss as a mean over the views of the mix, of which MAE sees the first alone."""
    ibot = dict(type=IBOT, n_local_crops=0, **IBOT.small(DIM) | dict(mask_probability=1.0))
    dino = dict(type=DINO, n_local_crops=0, **DINO.small(DIM))
    parts = dict(mae=dict(type=MAE, **MAE.small(DIM)), ibot=ibot, dino=dino)
    learner = Learner(vit, ObjectiveMix(vit, parts, weights=dict(mae=2.0, ibot=0.5)).double())
    objective, views = learner.objective, make_views(learner.objective)
    n, batch = views.global_crops.shape[:2]
    grid = vit.grid(views.global_crops[0])
    patches = grid[0] * grid[1]
    given = torch.rand(n, batch, patches, dtype=torch.float64) + 0.5
    views = replace(views, patch_weights=given, patch_scores=given.log())
    assert objective.takes_patch_scores and not objective.masks_meet
    state = objective.begin(learner.student, learner.teacher, views, Draws(0, "o"))
    losses, predicted = objective.patch_losses(learner.student, state), objective.predicted_patches(state)
    components, weights = objective.loss_components(learner.student, state), objective.component_weights()
    assert losses.keys() == predicted.keys() == {"mae/patches", "ibot/patches"}
    for name, component in (("mae/patches", "mae/pixels"), ("ibot/patches", "ibot/patch")):
        rows = predicted[name] // patches
        assert rows.max() < n * batch
        means = [losses[name][rows == row].mean() for row in rows.unique()]
        torch.testing.assert_close(sum(means) / (n * batch), weights[component] * components[component].mean())
    assert "dino/patch_weights" not in state and "mae/patch_weights" in state
