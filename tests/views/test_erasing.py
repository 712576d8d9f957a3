import pytest
import torch

from vssl.views.erasing import CUTOUT, mix_with_blur
from vssl.views.filtering import blur


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
