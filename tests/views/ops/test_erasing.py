import pytest
import torch
from kornia.augmentation import RandomErasing

from vssl.views.ops.erasing import CUTOUT, mix_with_blur
from vssl.views.ops.filtering import blur


def test_a_box_on_whole_pixels_is_a_hard_cutout_of_the_mean_colour():
    images = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    out = CUTOUT(images, torch.tensor([0.5]), torch.tensor([[0.5, 0.25 + 1e-9, 0.5]]))
    expected = images.clone()
    expected[:, :, 0:8, 4:12] = images.mean(dim=(2, 3), keepdim=True)
    assert (out - expected).abs().max() < 1e-6


def test_the_filled_area_is_the_square_of_the_side():
    images, places = torch.zeros(5, 3, 40, 40), torch.full((5, 3), 0.5)
    images[:, :, 0, 0] = 1600.0  # mean 1, far from the box
    places[:, 2] = torch.tensor([0.0, 0.3, 0.5, 0.8, 1.0])  # any aspect has the same area
    filled = CUTOUT(images, torch.full((5,), 0.4), places)
    filled[:, :, 0, 0] = 0
    assert filled.mean(dim=(1, 2, 3)) == pytest.approx(torch.full((5,), 0.16), abs=1e-4)


def test_the_mask_keeps_where_it_is_one_and_blurs_where_it_is_zero():
    images = torch.rand(2, 3, 24, 24, generator=torch.Generator().manual_seed(0))
    mask = torch.zeros(2, 1, 24, 24)
    mask[:, :, :12] = 1
    out = mix_with_blur(images, mask, 2.0)
    assert torch.equal(out[:, :, :12], images[:, :, :12])
    assert torch.equal(out[:, :, 12:], blur(images, torch.full((2,), 2.0), 6)[:, :, 12:])
    half = mix_with_blur(images, torch.full_like(mask, 0.25), 2.0)
    assert torch.allclose(half, 0.25 * images + 0.75 * blur(images, torch.full((2,), 2.0), 6), atol=1e-6)


def test_the_mask_has_the_gradient_of_finite_differences_and_images_do_not_look_at_each_other():
    images = torch.rand(3, 3, 9, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    mask = torch.rand(3, 1, 9, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).requires_grad_()
    assert torch.autograd.gradcheck(lambda i, m: mix_with_blur(i, m, 1.5), (images, mask), fast_mode=True)
    out = mix_with_blur(images, mask, 1.5)
    for gradient in torch.autograd.grad(out[1].square().sum(), (images, mask)):
        assert gradient[1].abs().max() > 0 and gradient[[0, 2]].abs().max() == 0


def test_the_mask_leaves_flat_images_alone_and_has_no_say_there():
    flat = torch.tensor([[0.0, 0, 0], [1, 1, 1], [0.5, 0.5, 0.5], [1, 0, 0]])[:, :, None, None].expand(4, 3, 12, 12)
    mask = torch.rand(4, 1, 12, 12, requires_grad=True)
    out = mix_with_blur(flat, mask, 2.0)
    assert torch.allclose(out, flat, atol=1e-6)
    assert torch.autograd.grad(out.square().sum(), mask)[0].abs().max() < 1e-5


def test_cutout_fills_where_kornias_erasing_does():
    images = torch.rand(2, 3, 20, 20, generator=torch.Generator().manual_seed(0))
    boxes = {"xs": [4, 10], "ys": [2, 6], "widths": [8, 8], "heights": [8, 8], "values": [0.0, 0.0]}
    erasing, params = RandomErasing(p=1.0), {key: torch.tensor(value) for key, value in boxes.items()}
    params |= {"batch_prob": torch.ones(2), "order": torch.tensor(0)}
    black = erasing(images, params=params)
    places = torch.tensor([[8 / 20, 6 / 20, 0.5], [14 / 20, 10 / 20, 0.5]])
    ours = CUTOUT(images, torch.tensor([0.4, 0.4]), places)
    filled = (black == 0).all(1, keepdim=True)
    assert torch.equal(torch.where(filled, 0.0, ours), torch.where(filled, 0.0, black))
    assert (torch.where(filled, ours - images.mean((2, 3), keepdim=True), 0.0)).abs().max() < 1e-6
    assert filled.sum() == 2 * 64
