import math
from itertools import product

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchvision.transforms.v2.functional as tv
from kornia.geometry.transform import warp_affine
from PIL import Image

from vssl.views.view_plan import WINDOW
from vssl.views.window import FILTERS, Window, resample


def window(left: float, top: float, across: float, down: float, height: int, width: int) -> Window:
    """The window with these edges in pixels."""
    x, y = left / max(width - across, 1e-9), top / max(height - down, 1e-9)
    values = (across * down / (height * width), math.log(across / down), x, y)
    return Window(*(torch.tensor([v], dtype=torch.float64) for v in values))


def images(height: int, width: int) -> torch.Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("size", [12, 40, 64], ids=["shrunk", "same", "enlarged"])
def test_the_whole_image_is_resized_as_torch_does_with_antialias(size):
    x = images(40, 40)
    expected = F.interpolate(x, size=(size, size), mode="bilinear", antialias=True, align_corners=False)
    assert (resample(x, window(0, 0, 40, 40, 40, 40), size) - expected).abs().max() < 1e-6


def test_a_shrunk_window_equals_torchvision_away_from_its_edge():
    x = images(96, 80)
    ours = resample(x, window(9, 14, 64, 72, 96, 80), 24)
    theirs = tv.resized_crop(x[0], 14, 9, 72, 64, [24, 24], antialias=True)
    assert (ours[0] - theirs)[:, 1:-1, 1:-1].abs().max() < 1e-6
    # At the edge torchvision has no pixels outside the window to look at.
    assert (ours[0] - theirs).abs().max() < 0.2


@pytest.mark.parametrize("size", [12, 40, 64], ids=["shrunk", "same", "enlarged"])
def test_bicubic_is_pils(size):
    x = images(40, 40)[:, :1].float()
    theirs = np.array(Image.fromarray(x[0, 0].numpy()).resize((size, size), Image.Resampling.BICUBIC))
    ours = resample(x, Window(*(v.float() for v in window(0, 0, 40, 40, 40, 40))), size, interpolation="bicubic")
    assert np.abs(ours[0, 0].numpy() - theirs).max() < 1e-5


def test_an_enlarged_window_equals_kornia():
    x = images(48, 48)
    ours = resample(x, window(10, 12, 16, 16, 48, 48), 32)
    # In kornia's pixel coordinates the centre of the first pixel is 0; the window begins at 9.5 and 11.5.
    matrix = torch.tensor([[[2.0, 0.0, -9.5 * 2 - 0.5], [0.0, 2.0, -11.5 * 2 - 0.5]]], dtype=torch.float64)
    theirs = warp_affine(x, matrix, (32, 32), align_corners=True)
    assert (ours - theirs).abs().max() < 1e-6


def test_flip_mirrors_and_only_where_asked():
    x = images(20, 20).expand(2, 3, 20, 20)
    both = Window(*(v.expand(2) for v in window(3, 4, 12, 10, 20, 20)))
    out = resample(x, both, 8, torch.tensor([True, False]))
    assert torch.equal(out[0].flip(2), out[1])


def test_a_ramp_stays_a_ramp():
    """Values that are the x coordinate come out as the coordinate of each output pixel's centre."""
    ramp = (torch.arange(64.0, dtype=torch.float64) + 0.5).expand(1, 1, 64, 64)
    for size in (8, 48):
        row = resample(ramp, window(20, 20, 24, 24, 64, 64), size)[0, 0, 0]
        expected = 20 + (torch.arange(size) + 0.5) * 24 / size
        assert (row - expected).abs().max() < 1e-6


@pytest.mark.slow
def test_gradients_in_the_window_are_those_of_finite_differences():
    x = images(12, 12).requires_grad_()
    values = [torch.tensor([v], dtype=torch.float64, requires_grad=True) for v in (0.41, 0.13, 0.37, 0.71)]
    for interpolation in FILTERS:
        assert torch.autograd.gradcheck(
            lambda im, *w: resample(im, Window(*w), 5, interpolation=interpolation),  # noqa: B023
            (x, *values),
            eps=1e-6,
            atol=1e-5,
        )


def test_windows_at_the_ends_of_their_ranges_are_finite_and_mix_colours_only():
    """Black, white, gray and saturated images stay what they are, and the gradient is finite."""
    black, white, gray = torch.zeros(3), torch.ones(3), torch.full((3,), 0.5)
    colours = torch.stack([black, white, gray, torch.tensor([1.0, 0, 0]), torch.tensor([1.0, 1, 0])])[:, :, None, None]
    for ends in product(*((magnitude.low, magnitude.identity, magnitude.high) for magnitude in WINDOW)):
        x = colours.expand(5, 3, 20, 20).clone().requires_grad_()
        values = [torch.full((5,), end, requires_grad=True) for end in ends]
        out = resample(x, Window(*values), 8)
        assert torch.allclose(out, colours.expand_as(out), atol=1e-6)
        assert all(g.isfinite().all() for g in torch.autograd.grad(out.square().sum(), (x, *values)))


def test_images_do_not_look_at_each_other():
    x = torch.rand(4, 3, 20, 20, requires_grad=True)
    values = [torch.full((4,), v, requires_grad=True) for v in (0.5, 0.1, 0.3, 0.6)]
    out = resample(x, Window(*values), 8)
    gradients = torch.autograd.grad(out[1].square().sum(), (x, *values))
    assert all(g[1].abs().max() > 0 and g[[0, 2, 3]].abs().max() == 0 for g in gradients)


def test_a_window_that_does_not_fit_is_clipped_to_the_image():
    edges = Window(*(torch.tensor([v]) for v in (1.0, math.log(4 / 3), 0.3, 0.5))).edges(60, 60)
    assert torch.allclose(edges, torch.tensor([[0.0, 30 - 30 * math.sqrt(0.75), 60, 60 * math.sqrt(0.75)]]), atol=1e-4)
