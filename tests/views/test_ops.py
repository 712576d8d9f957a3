"""What holds for every op of the space; values against kornia and torchvision are in the ops' own tests."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from vssl.draws import Draws
from vssl.views.ops import register, warp
from vssl.views.ops.relaxed import EQUALIZE, POSTERIZE, SOLARIZE
from vssl.views.space import SPACE, op_named

EVERY = pytest.mark.parametrize("op", SPACE, ids=lambda op: op.name)
# Their gradient is that of a relaxed function, see test_relaxed.py.
RELAXED = (SOLARIZE, POSTERIZE, EQUALIZE)


def smooth_images(batch: int, side: int, dtype=torch.float32) -> torch.Tensor:
    """Images without flat or clipped parts, in 0.2..0.8."""
    coarse = 2 * torch.randn(batch, 3, 4, 4, generator=torch.Generator().manual_seed(0), dtype=dtype)
    return 0.2 + 0.6 * F.interpolate(coarse, size=(side, side), mode="bicubic", align_corners=False).sigmoid()


def noise_of(op, batch: int, side: int, dtype=torch.float32):
    return op.noise(Draws(0, "noise"), batch, (side, side)).to(dtype) if op.noise else None


def inner(op, batch: int, dtype=torch.float32) -> torch.Tensor:
    """Magnitudes a little off the identity, inside the range, all different."""
    steps = torch.linspace(0.05, 0.11, batch, dtype=dtype)
    towards = op.high if op.high > op.identity else op.low
    return op.identity + steps * (towards - op.identity)


@EVERY
def test_the_identity_value_leaves_images_as_they_are(op):
    images = smooth_images(3, 16)
    images[0, :, :4], images[1, 0] = 0.0, 1.0
    out = op(images, torch.full((3,), op.identity), noise_of(op, 3, 16))
    # Warps compute coordinates in float32, to about 1e-5 of a pixel.
    assert (out - images).abs().max() < (1e-4 if op.geometric else 1e-6)


@EVERY
def test_values_and_gradients_are_finite_and_in_range_on_extreme_images(op):
    black, white, gray = torch.zeros(3), torch.ones(3), torch.full((3,), 0.5)
    red, yellow = torch.tensor([1.0, 0, 0]), torch.tensor([1.0, 1, 0])
    colours = torch.stack([black, white, gray, red, yellow])[:, :, None, None].expand(5, 3, 12, 12)
    for magnitude in (op.low, op.identity, op.high, 0.3 * op.low + 0.7 * op.high):
        images = colours.clone().requires_grad_()
        magnitudes = torch.full((5,), magnitude, requires_grad=True)
        out = op(images, magnitudes, noise_of(op, 5, 12))
        assert out.shape == images.shape
        assert out.isfinite().all() and out.min() >= -1e-6 and out.max() <= 1 + 1e-6
        for gradient in torch.autograd.grad(out.square().sum(), (images, magnitudes), allow_unused=True):
            assert gradient is None or gradient.isfinite().all()


@EVERY
def test_images_do_not_look_at_each_other(op):
    images, magnitudes = smooth_images(4, 12).requires_grad_(), inner(op, 4).requires_grad_()
    out = op(images, magnitudes, noise_of(op, 4, 12))
    to_images, to_magnitudes = torch.autograd.grad(out[1].square().sum(), (images, magnitudes), allow_unused=True)
    others = torch.tensor([0, 2, 3])
    assert to_images[others].abs().max() == 0 and to_images[1].abs().max() > 0
    assert to_magnitudes is None or to_magnitudes[others].abs().max() == 0


@pytest.mark.parametrize("op", [op for op in SPACE if op not in RELAXED], ids=lambda op: op.name)
def test_gradients_are_those_of_finite_differences(op):
    images = smooth_images(2, 8, torch.float64).requires_grad_()
    magnitudes = inner(op, 2, torch.float64).requires_grad_()
    noise = noise_of(op, 2, 8, torch.float64)
    # The magnitude in units of its range, so that one step fits factors, degrees and kelvin.
    span = op.high - op.low

    def function(images, units):
        return op(images, units * span, noise)

    assert torch.autograd.gradcheck(
        function, (images, (magnitudes / span).detach().requires_grad_()), eps=1e-6, atol=1e-4, fast_mode=True
    )


@EVERY
def test_the_gradient_reaches_the_magnitude(op):
    magnitudes = inner(op, 3) if op is not POSTERIZE else torch.tensor([2.0, 3.0, 4.0])
    if op is SOLARIZE:
        magnitudes = torch.tensor([0.4, 0.5, 0.6])
    magnitudes.requires_grad_()
    out = op(smooth_images(3, 16), magnitudes, noise_of(op, 3, 16))
    (gradient,) = torch.autograd.grad((out - 0.3).square().sum(), magnitudes)
    assert (gradient != 0).all()


def test_declarations_are_consistent():
    assert len({op.name for op in SPACE}) == len(SPACE)
    for op in SPACE:
        assert op.low <= op.identity <= op.high and op.unit and op.kornia
        assert bool(op.relaxation) == (op in RELAXED)
    assert {op.name for op in SPACE if op.geometric} == {
        "translate_x", "translate_y", "rotate", "scale", "shear_x", "shear_y", "perspective",
    }  # fmt: skip


@pytest.mark.parametrize("value", [-0.6, 0.51, float("nan"), float("inf")])
def test_a_magnitude_outside_the_range_names_the_range(value):
    with pytest.raises(ValueError, match=r"hue is .*must be in \[-0.5, 0.5\] \(turns\)"):
        op_named("hue").check(value)


def test_an_unknown_op_names_the_known_ones():
    with pytest.raises(ValueError, match=r"unknown op 'swirl'; the space has .*brightness"):
        op_named("swirl")


def test_only_geometric_ops_have_a_matrix():
    with pytest.raises(TypeError, match="hue does not move pixels"):
        op_named("hue").matrix(torch.zeros(1), (8, 8))
    matrix = op_named("translate_x").matrix(torch.tensor([0.25]), (8, 8))
    labels = torch.arange(8.0).expand(1, 1, 8, 8)
    moved = warp(labels, matrix, mode="nearest")
    assert torch.equal(moved[0, 0, 0, 2:], labels[0, 0, 0, :-2])


def test_an_op_registers_itself_once_under_its_name():
    assert register(op_named("hue")) is op_named("hue")
    with pytest.raises(ValueError, match="'hue' is in the space already"):
        register(replace(op_named("hue"), high=0.4))
