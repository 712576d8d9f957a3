import math

import pytest
import torch
import torchvision.transforms.v2.functional as tv
from torchvision.transforms import RandomResizedCrop

from vssl.draws import Draws
from vssl.views.ops.filtering import BLUR
from vssl.views.ops.geometric import ROTATE
from vssl.views.ops.photometric import HUE
from vssl.views.ops.relaxed import SOLARIZE
from vssl.views.policy_file import SavedRecipe, save_policy
from vssl.views.recipes import MultiCrop, Recipe
from vssl.views.render import follow, render
from vssl.views.view_plan import GatedOp, ViewPlan
from vssl.views.window import Window

DINO = {
    "global_size": 32,
    "local_size": 16,
    "n_global": 2,
    "n_local": 2,
    "blur": {"sigma": (0.1, 2.0), "p": (1.0, 0.1, 0.5)},
    "solarize": {"threshold": 0.5, "p": (0.0, 0.2, 0.0)},
}
PLAIN = {"jitter": None, "grayscale": 0.0, "blur": None}


def images(batch: int = 6, side: int = 40) -> torch.Tensor:
    return torch.rand(batch, 3, side, side, generator=torch.Generator().manual_seed(0))


def test_shapes_and_range():
    views = MultiCrop(**DINO)(images(), Draws(0, "views"))
    assert views.global_crops.shape == (2, 6, 3, 32, 32) and views.local_crops.shape == (2, 6, 3, 16, 16)
    for crops in (views.global_crops, views.local_crops):
        assert crops.dtype == torch.float32 and crops.min() >= -1e-6 and crops.max() <= 1 + 1e-6
    assert MultiCrop(32)(images(), Draws(0, "views")).local_crops is None


def test_the_same_draws_give_the_same_bytes_and_others_do_not():
    recipe = MultiCrop(**DINO)
    first, again = (recipe(images(), Draws(0, "views", 3)) for _ in range(2))
    other = recipe(images(), Draws(0, "views", 4))
    assert torch.equal(first.global_crops, again.global_crops) and torch.equal(first.local_crops, again.local_crops)
    assert not torch.isclose(first.global_crops, other.global_crops).all()
    assert not torch.isclose(first.global_crops[0], first.global_crops[1]).all()


def test_two_ranks_make_the_views_that_one_rank_would_have_made():
    recipe, x = MultiCrop(**DINO), images(8)
    whole = recipe(x, Draws(0, "views"))
    for rank in range(2):
        part = recipe(x[rank::2], Draws(0, "views", rank=rank, world_size=2))
        assert (part.global_crops - whole.global_crops[:, rank::2]).abs().max() < 1e-5
        assert (part.local_crops - whole.local_crops[:, rank::2]).abs().max() < 1e-5


def test_an_image_is_made_the_same_whoever_stands_beside_it():
    recipe, x = MultiCrop(**DINO), images(8)
    y = x.clone()
    y[:4] = 0.25
    a, b = (recipe(batch, Draws(0, "views")).global_crops for batch in (x, y))
    assert torch.equal(a[:, 4:], b[:, 4:])


def test_dinos_asymmetry():
    first, second, local, _ = MultiCrop(**DINO).plans
    probability = [{g.op.name: g.probability for g in plan.ops} for plan in (first, second, local)]
    assert [p["blur"] for p in probability] == [1.0, 0.1, 0.5]
    assert [p["solarize"] for p in probability] == [0.0, 0.2, 0.0]
    assert [(plan.size, plan.area) for plan in (first, local)] == [(32, (0.32, 1.0)), (16, (0.05, 0.32))]


def test_magnitudes_and_gates_follow_the_settings():
    plan = MultiCrop(32, jitter={"brightness": 0.4, "hue": 0.1, "p": 0.8}, blur={"sigma": (0.5, 1.5), "p": 0.3}).plans[
        0
    ]
    numbers = plan.draw(20_000, Draws(0, "views"))
    values = dict(zip((m.name for m in plan.magnitudes), plan.distribution().magnitudes(numbers).T, strict=True))
    bounds = {"area": (0.32, 1), "log_ratio": (-math.log(4 / 3), math.log(4 / 3)), "brightness": (0.6, 1.4)}
    for name, (low, high) in (bounds | {"hue": (-0.1, 0.1), "blur": (0.5, 1.5)}).items():
        assert values[name].mean() == pytest.approx((low + high) / 2, abs=0.02 * (high - low))
        assert values[name].min() == pytest.approx(low, abs=0.001) and values[name].max() == pytest.approx(
            high, abs=0.001
        )
    gate = dict(zip(plan.gates, (numbers.gates < plan.distribution().probability).T, strict=True))
    assert plan.gate_columns == (1, 1, 2, 3)  # one gate for the whole jitter
    shares = {name: float(opened.float().mean()) for name, opened in gate.items()}
    assert shares == pytest.approx({"flip": 0.5, "jitter": 0.8, "grayscale": 0.2, "blur": 0.3}, abs=0.015)


@pytest.mark.parametrize(("redraw", "mean_area"), [(True, 0.599), (False, 0.652)], ids=["redrawn", "clipped"])
def test_redrawn_windows_are_distributed_as_torchvisions(redraw, mean_area):
    plan = MultiCrop(32, **PLAIN, redraw=redraw).plans[0]
    magnitudes = plan.distribution().magnitudes(plan.draw(20_000, Draws(0, "views")))
    _, _, across, down = Window(*magnitudes[:, :4].T).edges(1000, 1000).T
    assert float((across * down).mean()) / 1e6 == pytest.approx(mean_area, abs=0.004)
    torch.manual_seed(0)
    square = torch.empty(3, 1000, 1000)
    sides = [RandomResizedCrop.get_params(square, (0.32, 1.0), (3 / 4, 4 / 3))[2:] for _ in range(4000)]
    theirs = torch.tensor([height * width / 1e6 for height, width in sides])
    ours = across * down / 1e6
    distance = max(abs(float((theirs <= q).float().mean() - (ours <= q).float().mean())) for q in (0.4, 0.6, 0.8, 0.9))
    assert (distance < 0.02) == redraw


def test_a_policy_starts_from_the_redrawn_windows_of_its_recipe(tmp_path):
    recipe = MultiCrop(16, **PLAIN, interpolation="bicubic", redraw=True)
    save_policy(recipe, tmp_path / "policy.json")
    saved = SavedRecipe(tmp_path / "policy.json")
    assert saved.global_plans == recipe.global_plans
    x = images()
    views = recipe(x, Draws(0, "views")).global_crops
    assert torch.equal(views, saved(x, Draws(0, "views")).global_crops)
    assert views.min() >= 0 and views.max() <= 1
    with pytest.raises(ValueError, match="'nearest'"):
        MultiCrop(16, interpolation="nearest")


def test_a_jittered_view_is_torchvisions_ops_one_after_the_other():
    jitter = {"brightness": 0.4, "contrast": 0.4, "saturation": 0.2, "hue": 0.1, "p": 1.0}
    recipe = MultiCrop(24, n_global=1, jitter=jitter, grayscale=0.0, blur=None)
    plan, x = recipe.plans[0], images()
    view = recipe(x, Draws(0, "views")).global_crops[0]
    bare = MultiCrop(24, n_global=1, jitter=jitter | {"p": 0.0}, grayscale=0.0, blur=None)
    crop = bare(x, Draws(0, "views")).global_crops[0]
    factors = plan.distribution().magnitudes(plan.draw(len(x), Draws(0, "views")))[:, 4:8]
    for i, (brightness, contrast, saturation, hue) in enumerate(factors.tolist()):
        y = tv.adjust_contrast(tv.adjust_brightness(crop[i].clamp(0, 1), brightness), contrast)
        y = tv.adjust_hue(tv.adjust_saturation(y, saturation), hue)
        assert (view[i] - y).abs().max() < 2e-3  # torchvision rounds the luma weights


def test_closed_gates_leave_the_crop_to_the_last_bit():
    x = images()
    crop = MultiCrop(24, **PLAIN)(x, Draws(0, "v")).global_crops[0]
    closed = ViewPlan(24, (GatedOp(HUE, 0.3, 0.3, 0.5), GatedOp(SOLARIZE, 0.5, 0.5, 0.5), GatedOp(BLUR, 2, 2, 0.5)))
    numbers = closed.draw(len(x), Draws(1, "v"))
    some = render(x, closed, numbers, closed.distribution())
    none = ~(numbers.gates < closed.distribution().probability)[:, 1:].any(dim=1)
    plain = ViewPlan(24)
    bare = render(x, plain, plain.draw(len(x), Draws(1, "v")), plain.distribution())
    assert crop.shape == some.shape and 0 < none.sum() < len(x)
    # The window's numbers are other columns of another draw: compare under the same ones.
    same = numbers._replace(magnitudes=numbers.magnitudes[:, :4], gates=numbers.gates[:, :1], noise=())
    bare = render(x, plain, same, plain.distribution())
    assert torch.equal(some[none], bare[none]) and not torch.equal(some, bare)


def test_masks_follow_the_pixels():
    """Images that hold their own coordinates come out as the same coordinates by either road."""
    side = 33
    line = torch.linspace(0, 1, side)
    x = torch.stack([line.expand(side, side), line.view(-1, 1).expand(side, side), torch.zeros(side, side)]).expand(
        4, -1, -1, -1
    )
    plan = ViewPlan(24, (GatedOp(HUE, 0.0, 0.0), GatedOp(ROTATE, -60, 60, 0.7), GatedOp(SOLARIZE, 1.001, 1.001)))
    numbers = plan.draw(4, Draws(0, "views"))
    view = render(x, plan, numbers, plan.distribution())
    maps = follow(x[:, :2], plan, numbers, plan.distribution())
    assert (view[:, :2] - maps).abs().max() < 1e-5
    assert view[:, 0].std() > 0.05


def test_autocast_does_not_lower_the_precision():
    recipe, x = MultiCrop(**DINO), images()
    expected = recipe(x, Draws(0, "views")).global_crops
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(recipe(x, Draws(0, "views")).global_crops, expected)


def test_a_recipe_has_nothing_to_save():
    assert list(MultiCrop(**DINO).parameters()) == [] and MultiCrop(**DINO).state_dict() == {}


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"n_local": 2}, "2 local crops need a local_size"),
        ({"jitter": {"hue": 0.7}}, r"lowest magnitude of hue is -0.7; it must be in \[-0.5, 0.5\]"),
        ({"jitter": {"contrats": 0.7}}, r"jitter: unknown key 'contrats'"),
        ({"grayscale": 1.2}, "probability of grayscale is 1.2"),
        ({"blur": {"sigma": (0.1, 9.0)}}, r"highest magnitude of blur is 9; it must be in \[0, 4\] \(pixels"),
        ({"blur": {"p": (1.0,)}}, "blur has 1 probabilities; 2 global crops need 2"),
        ({"global_scale": (0.32, 1.5)}, r"highest value of area is 1.5; it must be in \[0.01, 1\]"),
        ({"extra": [GatedOp(HUE, 0, 0)]}, "an op may appear once"),
        ({"n_global": 0}, "at least one global crop"),
        ({"global_size": 0}, "at least one pixel"),
    ],
)
def test_impossible_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        MultiCrop(**({"global_size": 32} | settings))


def test_crops_of_one_kind_have_one_size():
    with pytest.raises(ValueError, match="must have one size"):
        Recipe([ViewPlan(16), ViewPlan(24)])
