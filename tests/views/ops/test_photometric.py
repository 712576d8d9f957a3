import math

import pytest
import torch
import torchvision.transforms.v2.functional as tv
from kornia import enhance
from kornia.augmentation import RandomPlanckianJitter
from kornia.color import rgb_to_grayscale

from vssl.views.ops.photometric import BRIGHTNESS, CONTRAST, GAMMA, GRAYSCALE, HUE, NOISE, PLANCKIAN, SATURATION


def random_images(batch: int = 4) -> torch.Tensor:
    return torch.rand(batch, 3, 20, 20, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    "op, reference",
    [
        (BRIGHTNESS, tv.adjust_brightness),
        (CONTRAST, tv.adjust_contrast),
        (SATURATION, tv.adjust_saturation),
    ],
    ids=["brightness", "contrast", "saturation"],
)
def test_equals_torchvision_with_a_factor_per_image(op, reference):
    images, factors = random_images(), torch.tensor([0.3, 0.9, 1.2, 1.9])
    expected = torch.stack([reference(image, float(f)) for image, f in zip(images, factors, strict=True)])
    # torchvision's luma weights are (0.2989, 0.587, 0.114), kornia's (0.299, 0.587, 0.114).
    assert (op(images, factors) - expected).abs().max() < 2e-4


def test_hue_equals_torchvision_and_kornia():
    images, turns = random_images(), torch.tensor([-0.5, -0.1, 0.07, 0.4])
    expected = torch.stack([tv.adjust_hue(image, float(t)) for image, t in zip(images, turns, strict=True)])
    assert (HUE(images, turns) - expected).abs().max() < 1e-5
    assert (HUE(images, turns) - enhance.adjust_hue(images, turns * 2 * math.pi)).abs().max() < 1e-5


def test_a_full_turn_of_hue_comes_back():
    images = random_images()
    half = HUE(HUE(images, torch.full((4,), 0.5)), torch.full((4,), 0.5))
    assert (half - images).abs().max() < 1e-5


def test_gamma_equals_kornia_at_8_bit_values():
    images = torch.arange(256.0).view(1, 1, 16, 16).expand(2, 3, 16, 16) / 255
    exponents = torch.tensor([0.4, 2.2])
    assert (GAMMA(images, exponents) - enhance.adjust_gamma(images, exponents)).abs().max() < 1e-6


def test_grayscale_at_full_strength_is_kornias_to_the_last_bit():
    images = random_images()
    assert torch.equal(GRAYSCALE(images, torch.ones(4)), rgb_to_grayscale(images).expand(4, 3, 20, 20))


def test_noise_has_the_stated_deviation_and_is_clamped():
    normal = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    gray = torch.full((2, 3, 64, 64), 0.5)
    noisy = NOISE(gray, torch.tensor([0.02, 0.1]), normal)
    assert (noisy - 0.5).std(dim=(1, 2, 3)) == pytest.approx(torch.tensor([0.02, 0.1]), rel=0.03)
    assert NOISE(gray, torch.tensor([0.5, 0.5]), normal).max() == 1


def test_planckian_is_kornias_table_relative_to_daylight():
    images = 0.4 * random_images(3)
    for row, kelvin in ((0, 3000.0), (10, 8000.0), (24, 15000.0)):

        def kornias(row: int) -> torch.Tensor:
            return RandomPlanckianJitter(mode="blackbody", select_from=row, p=1.0)(0.5 * images) / 0.5

        ours = PLANCKIAN(images, torch.full((3,), kelvin))
        assert (ours - images * kornias(row) / kornias(7)).abs().max() < 1e-5
    warm, cold = PLANCKIAN(images, torch.full((3,), 3200.0)), PLANCKIAN(images, torch.full((3,), 14000.0))
    assert (warm[:, 0] >= images[:, 0]).all() and (warm[:, 2] <= images[:, 2]).all()
    assert (cold[:, 0] <= images[:, 0]).all() and (cold[:, 2] >= images[:, 2]).all()
