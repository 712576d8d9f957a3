"""Less and more of each operation, on the same images with the same random numbers."""

import pytest
import torch

from vssl.draws import Draws
from vssl.views.changes import Change, changes, opened
from vssl.views.recipes import MultiCrop
from vssl.views.space import SPACE

RECIPE = opened(
    MultiCrop(
        global_size=16,
        local_size=8,
        n_global=2,
        n_local=1,
        jitter=dict(brightness=0.4, hue=0.4, p=0.8),
        blur=dict(sigma=(0.1, 2.0), p=(1.0, 0.1, 0.5)),
    )
)
TRIED = {(change.name, change.by): change for change in changes(RECIPE)}


def numbers(name, by="strength", view=0):
    change = TRIED[name, by]
    return [change.numbers(RECIPE.plans[view], side) for side in ("less", "now", "more")]


def test_every_operation_is_there_once():
    names = [name for name, _ in TRIED]
    assert sorted(names) == sorted({op.name for op in SPACE} | {"area", "log_ratio", "flip", "jitter"})
    closed = {change.name for change in TRIED.values() if change.closed}
    assert closed == {op.name for op in SPACE} - {"brightness", "hue", "grayscale", "blur"}


def test_less_and_more_are_what_the_table_says():
    assert numbers("area") == [(0.66, 1.0), (0.32, 1.0), (0.16, 1.0)]
    assert numbers("brightness") == [pytest.approx(ends) for ends in [(0.8, 1.2), (0.6, 1.4), (0.4, 1.6)]]
    assert numbers("hue") == [pytest.approx(ends) for ends in [(-0.2, 0.2), (-0.4, 0.4), (-0.5, 0.5)]], "held in range"
    assert numbers("grayscale", "chance") == [(0.0,), (0.2,), (pytest.approx(0.45),)]
    assert [numbers("blur", "chance", view) for view in (0, 1)] == [
        [(0.75,), (1.0,), (1.0,)],
        [(0.0,), (0.1,), (pytest.approx(0.35),)],
    ]
    assert numbers("rotate", "chance") == [(0.0,), (0.0,), (0.25,)]


def test_more_flips_than_half_are_not_more():
    assert numbers("flip", "chance") == [(0.25,), (0.5,), (0.5,)]
    assert TRIED["flip", "chance"].sides(RECIPE) == ["less"]
    assert Change("flip", "chance", False).numbers(MultiCrop(16, flip=0.8).plans[0], "more") == (0.8,)


def test_crops_that_are_fixed_can_only_get_more():
    fixed = opened(MultiCrop(16, global_scale=(1.0, 1.0), ratio=(1.0, 1.0)))
    of = {change.name: change for change in changes(fixed)}
    assert of["area"].sides(fixed) == of["log_ratio"].sides(fixed) == ["more"]
    assert of["area"].numbers(fixed.plans[0], "more") == (0.5, 1.0)


def test_views_without_the_recipes_jitter_have_its_ops_closed_one_by_one():
    plain = opened(MultiCrop(16, jitter=None, grayscale=0, blur=None))
    assert {c.name for c in changes(plain) if c.closed} == {op.name for op in SPACE}


def test_an_opened_recipe_draws_from_what_the_recipe_draws_from():
    recipe = MultiCrop(16)
    plan, wide = recipe.plans[0], opened(recipe).plans[0]
    for own, other in zip(plan.distribution(), wide.distribution(), strict=True):
        torch.testing.assert_close(own, other[:, : own.shape[1]], rtol=0, atol=0)
    assert set(wide.probabilities[len(plan.probabilities) :]) == {0.0}
    assert not any(gated.op.geometric for gated in opened(recipe, geometric=False).plans[0].ops)


def test_only_the_images_change_whose_gate_opens():
    """The same random numbers: with probability 0.45 for 0.2, those between are grey now, and all others as before."""
    recipe = opened(MultiCrop(16, n_global=1))
    (plan,), images = recipe.plans, torch.rand(64, 3, 16, 16)
    drawn = plan.draw(len(images), Draws(0, "views"))
    now, more = (
        recipe.make(images, [drawn], [distribution]).global_crops[0]
        for distribution in (plan.distribution(), Change("grayscale", "chance", False).distribution(plan, "more"))
    )
    uniform = drawn.gates[:, plan.gates.index("grayscale")]
    differs = (now != more).flatten(1).any(1)
    assert torch.equal(differs, (uniform >= 0.2) & (uniform < 0.45)) and differs.sum() >= 5
