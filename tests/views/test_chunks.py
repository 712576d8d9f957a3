"""Ops whose gradient is written out: it is that of their values, and chunks change nothing."""

import pytest
import torch
from kornia import enhance
from torch.overrides import TorchFunctionMode

from vssl.draws import Draws
from vssl.views import chunks
from vssl.views.chunks import chunked, clamp, clamp_gradient
from vssl.views.ops import filtering, photometric, relaxed
from vssl.views.space import op_named


def soft_solarize(images: torch.Tensor, threshold: torch.Tensor) -> torch.Tensor:
    inverted = torch.sigmoid((images - threshold.view(-1, 1, 1, 1)) / relaxed.SOLARIZE_WIDTH)
    return images + inverted * (1 - 2 * images)


WRITTEN_OUT = {
    "brightness": (enhance.adjust_brightness_accumulative, photometric.brightness_gradients),
    "contrast": (enhance.adjust_contrast_with_mean_subtraction, photometric.contrast_gradients),
    "saturation": (enhance.adjust_saturation_with_gray_subtraction, photometric.saturation_gradients),
    "hue": (photometric.hue, photometric.hue_gradients),
    "gamma": (photometric.gamma, photometric.gamma_gradients),
    "grayscale": (photometric.grayscale, photometric.grayscale_gradients),
    "noise": (photometric.noise, photometric.noise_gradients),
    "sharpness": (filtering.sharpness, filtering.sharpness_gradients),
    "solarize": (soft_solarize, relaxed.soft_solarize_gradients),
}
EACH = pytest.mark.parametrize("name", WRITTEN_OUT)


def awkward_images(dtype) -> torch.Tensor:
    """Random images with black, white, gray and saturated parts: equal channels and values at the ends of the range."""
    images = torch.rand(6, 3, 10, 11, generator=torch.Generator().manual_seed(0), dtype=dtype)
    images[0, :, :5], images[1, :, 3:] = 0, 1
    images[2] = images[2, :1]
    images[3, 0], images[3, 1] = 1, 0
    return images


def arguments(name: str, dtype) -> tuple[torch.Tensor, ...]:
    """Images, magnitudes over the whole range of which one is the identity, and the op's noise."""
    op, images = op_named(name), awkward_images(dtype)
    magnitudes = torch.linspace(op.low, op.high, len(images), dtype=dtype)
    magnitudes[1] = op.identity
    noise = (op.noise(Draws(0, "noise"), len(images), images.shape[-2:]).to(dtype),) if op.noise else ()
    return images, magnitudes, *noise


class NoGradientAtBounds(TorchFunctionMode):
    """Inside, `clamp` is written as comparisons, whose gradient at a bound is 0 on every version of torch."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function not in (torch.clamp, torch.Tensor.clamp):
            return function(*args, **(kwargs or {}))
        return self.clamp(*args, **(kwargs or {}))

    @staticmethod
    def clamp(values, min=-torch.inf, max=torch.inf):
        return torch.where(values > min, torch.where(values < max, values, max), min)


@EACH
def test_the_written_gradient_is_that_of_autograd_also_where_values_are_clamped_and_channels_equal(name):
    values, gradients = WRITTEN_OUT[name]
    images, magnitudes, *noise = arguments(name, torch.float64)
    weights = torch.randn(images.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    images.requires_grad_(), magnitudes.requires_grad_()
    with NoGradientAtBounds():
        expected = torch.autograd.grad(values(images, magnitudes, *noise), (images, magnitudes), weights)
    with torch.no_grad():
        written = gradients(weights, images, magnitudes, *noise)
    for ours, theirs in zip(written, expected, strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-9, atol=1e-9)


@EACH
def test_chunks_change_neither_values_nor_gradients(name, monkeypatch):
    op, results = op_named(name), []
    for size in (10**9, 2 * 3 * 10 * 11):
        monkeypatch.setattr(chunks, "CHUNK", size)
        images, magnitudes, *noise = arguments(name, torch.float32)
        out = op(images.requires_grad_(), magnitudes.requires_grad_(), *noise)
        results.append((out, *torch.autograd.grad(out.square().sum(), (images, magnitudes))))
    assert torch.equal(results[0][0], results[1][0])
    for whole, parts in zip(*results, strict=True):  # sums over an image may be added in another order
        assert torch.allclose(whole, parts, rtol=1e-5, atol=1e-6)


def test_the_graph_keeps_the_inputs_and_nothing_else():
    images, factors = awkward_images(torch.float32).requires_grad_(), torch.ones(6, requires_grad=True)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.data_ptr()), lambda kept: kept):
        op_named("saturation")(images, factors)
    assert sorted(kept) == sorted([images.data_ptr(), factors.data_ptr()])


def test_every_thread_gets_a_share_of_a_chunk(monkeypatch):
    monkeypatch.setattr(chunks, "CHUNK", 2 * 3 * 4 * 4)
    for threads, starts in ((1, [0, 2, 4, 6]), (3, [0, 6])):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        assert [rows.start for rows in chunks.chunks(torch.zeros(7, 3, 4, 4))] == starts


def test_a_row_is_never_split_and_an_empty_batch_stays_empty(monkeypatch):
    monkeypatch.setattr(chunks, "CHUNK", 1)
    seen = []

    def double(images, factors):
        seen.append(len(images))
        return images * 2

    function = chunked(double, lambda g, images, factors: (2 * g, factors))
    assert torch.equal(function(torch.ones(3, 3, 4, 4), torch.ones(3)), torch.full((3, 3, 4, 4), 2.0))
    assert seen == [1, 1, 1]
    assert function(torch.ones(0, 3, 4, 4), torch.ones(0)).shape == (0, 3, 4, 4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("bounds", "expected"), [((0.0, 1.0), [0, 0, 1, 1, 1, 0, 0]), ((1e-3, float("inf")), [0, 0, 0, 0, 1, 1, 1])]
)
def test_clamp_has_torchs_values_and_no_gradient_at_the_bounds(dtype, bounds, expected):
    values = torch.tensor([-0.1, 0.0, 5e-4, 1e-3, 0.5, 1.0, 1.1], dtype=dtype, requires_grad=True)
    assert torch.equal(clamp(values, *bounds), values.clamp(*bounds))
    (gradient,) = torch.autograd.grad(clamp(values, *bounds).sum(), values)
    assert gradient.tolist() == expected
    assert torch.equal(clamp_gradient(torch.ones_like(values), values.detach(), *bounds), gradient)


def test_black_and_white_pixels_pass_no_gradient_through_a_clamp():
    images = torch.tensor([0.0, 0.25, 1.0]).expand(2, 3, 4, 3).contiguous().requires_grad_()  # columns of a value
    for name in ("brightness", "contrast", "saturation", "planckian", "noise"):
        op = op_named(name)
        noise = [torch.zeros_like(images)] if op.noise else []
        out = op(images, torch.full((2,), op.identity), *noise)
        (gradient,) = torch.autograd.grad(out, images, torch.ones_like(images))
        assert not gradient[..., [0, 2]].any() and gradient[..., 1].all(), name
