"""Functions that treat each image by itself: a few images at a time, with the gradient written out.

Written as ordinary torch expressions, an op on 128 images of 224 pixels makes several temporary tensors of 77 MB,
which fit no cache and of which the graph keeps most. A few images at a time, temporaries stay in the cache and are
used again; with the gradient written out, the graph keeps the op's inputs and nothing else.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

# Values of a chunk for each thread of a CPU: about one image of 224 pixels (600 kB in fp32), so that the temporaries of
# an op stay in a core's cache. Devices with their own memory take the batch whole.
CHUNK = 160_000


def chunked(values: Callable[..., Tensor], gradients: Callable[..., tuple[Tensor, Tensor]]) -> Callable[..., Tensor]:
    """A function of tensors with one row per image, differentiable once, in the first two.

    Args:
        values: ``(images, magnitude, *more) -> images``; each row of the result depends on the same rows of the
            arguments only.
        gradients: the vector-Jacobian product of `values`, ``(gradient, images, magnitude, *more) -> (gradient of the
            images, gradient of the magnitude)``.
    """

    class Chunked(torch.autograd.Function):
        @staticmethod
        def forward(ctx, *tensors):
            ctx.save_for_backward(*tensors)
            out = torch.empty_like(tensors[0])
            for rows in chunks(tensors[0]):
                out[rows] = values(*(t[rows] for t in tensors))
            return out

        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(ctx, gradient):
            tensors = ctx.saved_tensors
            results = [torch.empty_like(t) for t in tensors[:2]]
            for rows in chunks(tensors[0]):
                made = gradients(gradient[rows], *(t[rows] for t in tensors))
                for result, some in zip(results, made, strict=True):
                    result[rows] = some
            return *results, *(None for _ in tensors[2:])

    return Chunked.apply


def clamp(values: Tensor, low: float = 0.0, high: float = 1.0) -> Tensor:
    """``values.clamp(low, high)``, whose gradient is 0 at the bounds as well as beyond them, on every torch.

    At a bound the slope is 0 on one side and 1 on the other, and black and white pixels lie there. The gradient of
    ``Tensor.clamp`` is 1 there in torch 2.11 and 0 in torch 2.15. So whatever autograd differentiates in the views
    calls this function. hardtanh is a clamp whose gradient has always been 0 at the bounds.
    """
    return F.hardtanh(values, low, high)


def clamp_gradient(gradient: Tensor, values: Tensor, low: float = 0.0, high: float = 1.0) -> Tensor:
    """The vector-Jacobian product of `clamp`: `gradient` where ``low < values < high``, 0 elsewhere.

    One pass; on a CPU a comparison and `torch.where` take ten times as long.
    """
    return torch.ops.aten.hardtanh_backward(gradient, values, low, high)


def dot(a: Tensor, b: Tensor) -> Float[Tensor, " batch"]:
    """The inner product of each row of `a` with the same row of `b`."""
    return torch.linalg.vecdot(a.flatten(1), b.flatten(1))


def chunks(images: Tensor) -> list[slice]:
    """Slices of the rows of `images`: on a CPU about `CHUNK` numbers a thread each, elsewhere all rows in one."""
    rows = len(images)
    if images.device.type == "cpu":
        rows = CHUNK * torch.get_num_threads() // max(1, images[:1].numel())
    return [slice(start, start + max(1, rows)) for start in range(0, len(images), max(1, rows))]
