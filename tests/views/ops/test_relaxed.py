import torch
from kornia import enhance

from vssl.views.ops.relaxed import EQUALIZE, NO_SOLARIZE, POSTERIZE, SOLARIZE, SOLARIZE_WIDTH


def random_images(dtype=torch.float32) -> torch.Tensor:
    return torch.rand(3, 3, 12, 12, generator=torch.Generator().manual_seed(0), dtype=dtype)


def test_values_are_kornias_to_the_last_bit_with_and_without_a_graph():
    images = random_images()
    threshold, bits = torch.tensor([0.2, 0.5, 0.9]), torch.tensor([1.0, 4.0, 7.0])
    for tracked in (False, True):
        images.requires_grad_(tracked)
        assert torch.equal(SOLARIZE(images, threshold), enhance.solarize(images, threshold))
        assert torch.equal(POSTERIZE(images, bits), enhance.posterize(images, bits.long()))
        assert torch.equal(EQUALIZE(images, torch.ones(3)), enhance.equalize(images))


def test_solarize_at_its_identity_leaves_white_alone():
    white = torch.ones(1, 3, 4, 4)
    assert torch.equal(SOLARIZE(white, torch.tensor([NO_SOLARIZE])), white)
    assert SOLARIZE(white, torch.tensor([1.0])).max() == 0


def test_solarize_has_the_gradient_of_its_soft_form():
    images, threshold = random_images(torch.float64).requires_grad_(), torch.tensor([0.3, 0.5, 0.8]).double()
    threshold.requires_grad_()

    def soft_solarize(images: torch.Tensor, threshold: torch.Tensor) -> torch.Tensor:
        inverted = torch.sigmoid((images - threshold.view(-1, 1, 1, 1)) / SOLARIZE_WIDTH)
        return images + inverted * (1 - 2 * images)

    weights = torch.randn_like(images)
    hard = torch.autograd.grad((SOLARIZE(images, threshold) * weights).sum(), (images, threshold))
    soft = torch.autograd.grad((soft_solarize(images, threshold) * weights).sum(), (images, threshold))
    assert all(torch.allclose(h, s, rtol=1e-9, atol=1e-12) for h, s in zip(hard, soft, strict=True))


def test_solarize_gradient_points_where_the_values_go():
    """Over thresholds, the summed gradient of the mean follows the change of the mean."""
    images = random_images()[:1]
    thresholds = torch.linspace(0.3, 0.7, 41)
    values, slopes = [], []
    for t in thresholds:
        t = t.view(1).requires_grad_()
        mean = SOLARIZE(images, t).square().mean()
        values.append(float(mean.detach()))
        slopes.append(float(torch.autograd.grad(mean, t)[0]))
    change = torch.tensor(values).diff()
    assert torch.corrcoef(torch.stack([change, (torch.tensor(slopes)[1:] + torch.tensor(slopes)[:-1])]))[0, 1] > 0.3


def test_posterize_has_the_gradient_of_an_error_that_halves_with_each_bit():
    images = random_images(torch.float64).requires_grad_()
    bits = torch.tensor([2.0, 3.0, 5.0], dtype=torch.float64, requires_grad=True)
    weights = torch.randn_like(images)
    to_images, to_bits = torch.autograd.grad((POSTERIZE(images, bits) * weights).sum(), (images, bits))
    assert torch.equal(to_images, weights)

    def relaxed(step: float) -> torch.Tensor:
        error = POSTERIZE(images.detach(), bits.detach()) - images
        return ((images + error * 2.0**-step) * weights).sum(dim=(1, 2, 3)).detach()

    assert torch.allclose(to_bits, (relaxed(1e-5) - relaxed(-1e-5)) / 2e-5, rtol=1e-6)
    assert torch.allclose(relaxed(0.0), (POSTERIZE(images, bits) * weights).sum(dim=(1, 2, 3)).detach())


def test_posterize_rounds_to_the_nearest_bit():
    images = random_images()
    assert torch.equal(POSTERIZE(images, torch.full((3,), 3.4)), POSTERIZE(images, torch.full((3,), 3.0)))
    assert torch.equal(POSTERIZE(images, torch.full((3,), 3.6)), POSTERIZE(images, torch.full((3,), 4.0)))


def test_equalize_passes_the_gradient_of_the_image():
    images, strength = random_images().requires_grad_(), torch.tensor([0.0, 0.5, 1.0], requires_grad=True)
    out = EQUALIZE(images, strength)
    to_images, to_strength = torch.autograd.grad(out.sum(), (images, strength))
    assert torch.allclose(to_images, torch.ones_like(images), atol=1e-6)
    expected = (enhance.equalize(images.detach()) - images.detach()).sum(dim=(1, 2, 3))
    assert torch.allclose(to_strength, expected, rtol=1e-4, atol=1e-3)
