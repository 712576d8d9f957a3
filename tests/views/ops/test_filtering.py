import pytest
import torch
import torchvision.transforms.v2.functional as tv
from kornia import enhance
from kornia.filters import gaussian_blur2d

from vssl.views.ops.filtering import BLUR, SHARPNESS, SMALL_SIDE, blur, blur_radius


def random_images(*size: int) -> torch.Tensor:
    return torch.rand(3, 3, *size, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("size", [(24, 40), (SMALL_SIDE + 4, 20)], ids=["by matrices", "by convolution"])
def test_blur_equals_kornia_and_torchvision_with_a_sigma_per_image(size):
    images, sigma = random_images(*size), torch.tensor([0.1, 0.9, 2.0])
    ours = blur(images, sigma, radius=6)
    assert (ours - gaussian_blur2d(images, 13, sigma.unsqueeze(1).expand(3, 2))).abs().max() < 1e-5
    expected = torch.stack([tv.gaussian_blur(x, [13, 13], [float(s)] * 2) for x, s in zip(images, sigma, strict=True)])
    assert (ours - expected).abs().max() < 1e-5


def test_blur_keeps_a_constant_image_and_lowers_the_variance():
    assert (BLUR(torch.full((2, 3, 16, 16), 0.7), torch.tensor([1.0, 4.0])) - 0.7).abs().max() < 1e-6
    images = random_images(32, 32)
    spread = BLUR(images, torch.tensor([0.0, 1.0, 3.0])).var(dim=(1, 2, 3)) / images.var(dim=(1, 2, 3))
    # White noise blurred by σ keeps 1 / (4πσ²) of its variance.
    assert spread[0] == pytest.approx(1, abs=1e-5)
    assert spread[1] == pytest.approx(0.0796, rel=0.15)
    assert spread[2] < 0.02


def test_blur_of_images_smaller_than_its_kernel():
    tiny = random_images(3, 1)
    assert BLUR(tiny, torch.full((3,), 4.0)).shape == tiny.shape
    assert blur_radius(2.0) == 6 and blur_radius(0.1) == 1


def test_sharpness_equals_kornia_and_torchvision():
    images, factors = random_images(20, 24), torch.tensor([0.0, 0.7, 1.8])
    ours = SHARPNESS(images, factors)
    assert (ours - enhance.sharpness(images, factors)).abs().max() < 1e-5
    expected = torch.stack([tv.adjust_sharpness(x, float(f)) for x, f in zip(images, factors, strict=True)])
    assert (ours - expected).abs().max() < 1e-5
