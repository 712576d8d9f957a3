"""`MultiCrop(extra="space")`: every op that the recipe lacks, closed."""

import pytest
import torch

from vssl.designers import GlobalPolicy
from vssl.draws import Draws
from vssl.views.recipes import MultiCrop
from vssl.views.space import SPACE
from vssl.views.view_plan import WINDOW, Numbers

BLUR = {"sigma": (0.1, 1.0), "p": 0.5}


def _recipes() -> tuple[MultiCrop, MultiCrop]:
    return tuple(MultiCrop(16, n_global=1, blur=BLUR, extra=extra) for extra in ((), "space"))


def test_every_op_of_the_space_is_there_once_and_those_that_the_recipe_lacks_never_happen():
    plain, whole = (recipe.plans[0] for recipe in _recipes())
    assert {gated.op.name for gated in whole.ops} == {op.name for op in SPACE}
    assert whole.ops[: len(plain.ops)] == plain.ops
    for gated in whole.ops[len(plain.ops) :]:
        ends = [gated.op.identity + (end - gated.op.identity) / 4 for end in (gated.op.low, gated.op.high)]
        assert gated.probability == 0 and [gated.low, gated.high] == ends


def test_the_views_are_the_recipes_for_the_same_random_numbers():
    plain, whole = _recipes()
    images = torch.rand(4, 3, 20, 20)
    drawn = whole.plans[0].draw(4, Draws(0, "views"))
    ops, gates = len(plain.plans[0].ops), len(plain.plans[0].gates)
    same = Numbers(drawn.magnitudes[:, : len(WINDOW) + ops], drawn.gates[:, :gates], drawn.noise[:ops])
    made = [
        recipe.make(images, [numbers], [recipe.plans[0].distribution()]).global_crops
        for recipe, numbers in ((plain, same), (whole, drawn))
    ]
    assert torch.equal(*made)


def test_a_name_adds_that_op_alone():
    plain, whole = _recipes()
    named = MultiCrop(16, n_global=1, blur=BLUR, extra=("gamma", "rotate")).plans[0]
    closed = {gated.op.name: gated for gated in whole.plans[0].ops}
    assert named.ops == (*plain.plans[0].ops, closed["gamma"], closed["rotate"])
    with pytest.raises(ValueError, match="unknown op 'gama'; the space has"):
        MultiCrop(16, extra=("gama",))


def test_the_gate_of_every_closed_op_learns():
    plain, whole = _recipes()
    policy = GlobalPolicy(whole, gates="straight_through")
    policy(torch.rand(16, 3, 20, 20), Draws(0, "views")).views.global_crops.square().sum().backward()
    gates = policy.raw[0].grad[0, -len(whole.plans[0].gates) :]
    assert (gates[len(plain.plans[0].gates) :] != 0).all()
