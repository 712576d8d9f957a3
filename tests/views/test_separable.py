import pytest
import torch

from vssl.views import chunks, separable
from vssl.views.separable import separable as resample


def tensors(dtype=torch.float64) -> tuple[torch.Tensor, ...]:
    """Images and banded matrices whose bands differ between images; some of their rows are empty."""
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(3, 2, 9, 11, generator=generator, dtype=dtype)
    vertical, horizontal = torch.zeros(3, 7, 9, dtype=dtype), torch.zeros(3, 8, 11, dtype=dtype)
    for matrix in (vertical, horizontal):
        for image in range(3):
            for row in range(matrix.shape[1]):
                columns = slice(max(0, row - 1 - image), row + 2)
                values = torch.rand(matrix[image, row, columns].shape, generator=generator, dtype=dtype)
                matrix[image, row, columns] = values - 0.3  # of both signs: they may add up to zero
    vertical[1, :3], horizontal[2, :3] = 0, 0
    return images, vertical, horizontal


def dense(images, vertical, horizontal):
    return torch.einsum("byh,bchw,bxw->bcyx", vertical, images, horizontal)


@pytest.mark.parametrize("block", [1, 2, 3, 100])
@pytest.mark.parametrize("chunk", [1, 2 * 2 * 9 * 11, 10**6], ids=["one image", "two images", "the batch"])
def test_values_and_gradients_are_those_of_the_dense_products_in_blocks_and_chunks_of_any_size(
    block, chunk, monkeypatch
):
    monkeypatch.setattr(separable, "BLOCK", block)
    monkeypatch.setattr(chunks, "CHUNK", chunk)
    inputs = [t.requires_grad_() for t in tensors()]
    weights = torch.randn(3, 2, 7, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    out, expected = resample(*inputs), dense(*inputs)
    assert torch.allclose(out, expected, rtol=1e-12)
    ours = torch.autograd.grad(out, inputs, weights)
    theirs = torch.autograd.grad(expected, inputs, weights)
    assert torch.allclose(ours[0], theirs[0], rtol=1e-10)
    for matrix, mine, full in zip(inputs[1:], ours[1:], theirs[1:], strict=True):
        used = matrix != 0
        assert torch.allclose(mine[used], full[used], rtol=1e-10)


def test_the_graph_of_large_images_keeps_the_inputs_and_nothing_else(monkeypatch):
    monkeypatch.setattr(separable, "BLOCK", 3)
    inputs, kept = [t.requires_grad_() for t in tensors()], []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.data_ptr()), lambda kept: kept):
        resample(*inputs)
    assert sorted(kept) == sorted(t.data_ptr() for t in inputs)


@pytest.mark.parametrize("which", range(3), ids=["images", "vertical", "horizontal"])
def test_a_gradient_that_nobody_wants_is_not_made(which, monkeypatch):
    monkeypatch.setattr(separable, "BLOCK", 3)
    inputs = list(tensors())
    inputs[which].requires_grad_()
    resample(*inputs).square().sum().backward()
    (alone,) = (t.grad for t in inputs if t.requires_grad)
    everything = [t.requires_grad_() for t in tensors()]
    resample(*everything).square().sum().backward()
    assert torch.equal(alone, everything[which].grad)
