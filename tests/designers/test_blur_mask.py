import math

import pytest
import torch

from vssl.designers import DiTMask, Identity, UNetMask
from vssl.designers.blur_mask import keep_penalty, mask_statistics, total_variation
from vssl.draws import Draws
from vssl.views.ops.erasing import mix_with_blur
from vssl.views.recipes import MultiCrop

MASKS = pytest.mark.parametrize("kind", [UNetMask, DiTMask])


def images(batch: int = 4) -> torch.Tensor:
    return torch.rand(batch, 3, 40, 40, generator=torch.Generator().manual_seed(0))


def recipe(size: int = 32, **settings) -> MultiCrop:
    return MultiCrop(size, 16, 2, 1, **settings)


def build(kind, *args, **settings):
    torch.manual_seed(0)
    return kind(*args, **settings)


def test_identity_is_the_recipe_without_parameters():
    designer = Identity(recipe())
    construction = designer(images(), Draws(0, "v"))
    assert torch.equal(construction.views.global_crops, recipe()(images(), Draws(0, "v")).global_crops)
    assert construction.penalty == 0 and construction.mask is None and list(designer.parameters()) == []


@MASKS
@pytest.mark.parametrize("keep_ratio", [0.3, 0.6])
def test_the_mask_starts_at_the_keep_ratio(kind, keep_ratio):
    construction = build(kind, recipe(), keep_ratio=keep_ratio)(images(), Draws(0, "v"))
    assert construction.mask.shape == (2, 4, 1, 32, 32)
    assert float(construction.statistics["mask/mean"]) == pytest.approx(keep_ratio, abs=0.01)
    assert construction.mask.min() > keep_ratio - 0.1 and construction.mask.max() < keep_ratio + 0.1


@MASKS
def test_global_crops_are_mixed_with_their_blur_and_local_crops_stay(kind):
    designer = build(kind, recipe(), blur_sigma=2.5)
    base, made = recipe()(images(), Draws(0, "v")), designer(images(), Draws(0, "v"))
    assert torch.equal(made.views.local_crops, base.local_crops)
    for view in range(2):
        expected = mix_with_blur(base.global_crops[view], made.mask[view], 2.5)
        assert (made.views.global_crops[view] - expected).abs().max() < 1e-6
    assert (made.views.global_crops - base.global_crops).abs().max() > 0.05


@MASKS
def test_the_gradient_reaches_every_parameter_at_the_first_step(kind):
    designer = build(kind, recipe())
    made = designer(images(), Draws(0, "v"))
    (made.views.global_crops.square().mean() + made.penalty).backward()
    for name, parameter in designer.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().max() > 0, name


@MASKS
def test_images_do_not_share_masks(kind):
    designer, x = build(kind, recipe()), images().requires_grad_()
    crops = x[:, :, :32, :32]
    (gradient,) = torch.autograd.grad(torch.sigmoid(designer.network(crops))[1].sum(), x)
    assert gradient[1].abs().max() > 0 and gradient[[0, 2, 3]].abs().max() == 0


@MASKS
@pytest.mark.parametrize("size", [32, 29])
def test_sides_that_do_not_divide_are_padded_inside(kind, size):
    designer = build(kind, MultiCrop(size))
    assert designer(images(), Draws(0, "v")).mask.shape == (2, 4, 1, size, size)


@MASKS
def test_a_designer_comes_back_from_its_state(kind):
    first, second = kind(recipe()), kind(recipe())
    second.load_state_dict(first.state_dict())
    a, b = first(images(), Draws(0, "v")), second(images(), Draws(0, "v"))
    assert torch.equal(a.views.global_crops, b.views.global_crops)
    assert all(name.startswith("network.") for name in first.state_dict())


@MASKS
def test_autocast_does_not_lower_the_precision(kind):
    designer = build(kind, recipe())
    expected = designer(images(), Draws(0, "v"))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        made = designer(images(), Draws(0, "v"))
    assert made.mask.dtype == torch.float32 and torch.equal(made.mask, expected.mask)
    assert torch.equal(made.views.global_crops, expected.views.global_crops)


def test_the_penalty_is_its_closed_form():
    designer = build(UNetMask, recipe(), keep_ratio=0.4, sparsity=2.0, smoothness=3.0)
    made = designer(images(), Draws(0, "v"))
    mask = made.mask.detach().flatten(0, 1)
    keep = sum((float(m.mean()) - 0.4) ** 2 for m in mask) / len(mask)
    assert float(made.penalty.detach()) == pytest.approx(2 * keep + 3 * float(total_variation(mask)), rel=1e-4)


def test_penalties_of_known_masks():
    board = torch.zeros(2, 1, 4, 4)
    board[1, :, :, 2:] = 1  # one step across each of 4 rows: 4 of 12 differences across, none down; other mask flat
    assert float(keep_penalty(board, 0.25)) == pytest.approx(((0 - 0.25) ** 2 + (0.5 - 0.25) ** 2) / 2)
    assert float(total_variation(board)) == pytest.approx(4 / 24)
    statistics = mask_statistics(board)
    assert float(statistics["mask/mean"]) == pytest.approx(0.25)
    assert float(statistics["mask/between_image_std"]) == pytest.approx(0.25)
    # One mask is flat, the other has 8 zeros and 8 ones: variance 16·0.25 / 15.
    assert float(statistics["mask/std"]) == pytest.approx(math.sqrt(4 / 15) / 2, rel=1e-5)


@pytest.mark.slow
def test_training_on_the_penalty_alone_pulls_the_mean_to_the_keep_ratio():
    designer = build(UNetMask, MultiCrop(16), keep_ratio=0.3, sparsity=1.0, smoothness=0.0, stem=4)
    torch.nn.init.constant_(designer.network.output.bias, 2.0)
    optimizer = torch.optim.Adam(designer.parameters(), lr=0.05)
    for step in range(60):
        optimizer.zero_grad()
        designer(images(), Draws(0, "v", step)).penalty.backward()
        optimizer.step()
    assert float(designer(images(), Draws(1, "v")).statistics["mask/mean"]) == pytest.approx(0.3, abs=0.05)


@MASKS
@pytest.mark.parametrize(
    "settings, message",
    [
        ({"keep_ratio": 0.0}, r"keep_ratio=0.0 \(κ\) must lie strictly between 0 and 1"),
        ({"keep_ratio": 1.0}, "keep_ratio=1.0"),
        ({"blur_sigma": 0.0}, "blur_sigma=0.0 must be a positive"),
        ({"blur_sigma": float("nan")}, "blur_sigma=nan must be a positive"),
        ({"sparsity": -1.0}, "sparsity=-1.0"),
    ],
)
def test_impossible_settings(kind, settings, message):
    with pytest.raises(ValueError, match=message):
        kind(recipe(), **settings)


def test_impossible_networks():
    with pytest.raises(ValueError, match="levels=0"):
        UNetMask(recipe(), levels=0)
    with pytest.raises(ValueError, match="dim=30 must be a multiple of 4·heads=12"):
        DiTMask(recipe(), dim=30)
