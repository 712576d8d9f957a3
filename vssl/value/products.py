"""Inner products of gradients that are given as one tensor per parameter of S. No device synchronisation."""

from collections.abc import Iterable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

Gradient = Sequence[Tensor]
"""One tensor per parameter of S, always in the order of the `params` dictionary that it was taken for."""


def dot(a: Gradient, b: Gradient) -> Float[Tensor, ""]:
    """⟨a, b⟩ over all parameters; ValueError when the two are not over the same parameters."""
    check_same_parameters(a, b)
    return torch.stack([(x * y).sum() for x, y in zip(a, b, strict=True)]).sum()


def norm(a: Gradient) -> Float[Tensor, ""]:
    """‖a‖₂ over all parameters."""
    return torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(x) for x in a]))


def cosine(a: Gradient, b: Gradient) -> Float[Tensor, ""]:
    """cos(a, b), and 0 when either is zero.

    Example::

        >>> cosine([torch.tensor([1.0, 0.0])], [torch.tensor([2.0, 0.0])])
        tensor(1.)
    """
    return dot(unit(a), unit(b))


def mean_gradient(gradients: Iterable[Gradient]) -> list[Tensor]:
    """Their mean, tensor by tensor; ValueError for none."""
    total, count = None, 0
    for gradient in gradients:
        total = list(gradient) if total is None else [a + b for a, b in zip(total, gradient, strict=True)]
        count += 1
    if total is None:
        raise ValueError("the mean of no gradients")
    return total if count == 1 else [t / count for t in total]


def unit(a: Gradient) -> list[Tensor]:
    """a / ‖a‖, and zeros when a is zero."""
    length = or_one(norm(a))
    return [x / length for x in a]


def or_one(length: Float[Tensor, ""]) -> Float[Tensor, ""]:
    """`length`, or 1 where it is 0, so that dividing by it keeps a zero a zero."""
    return torch.where(length > 0, length, torch.ones_like(length))


def check_same_parameters(a: Gradient, b: Gradient) -> None:
    """ValueError unless `a` and `b` hold tensors of the same shapes in the same order."""
    shapes_a, shapes_b = [tuple(x.shape) for x in a], [tuple(x.shape) for x in b]
    if shapes_a != shapes_b or not shapes_a:
        differ = next((i for i, (x, y) in enumerate(zip(shapes_a, shapes_b, strict=False)) if x != y), None)
        where = (
            "" if differ is None else f"; tensor {differ} is {shapes_a[differ]} in one, {shapes_b[differ]} in the other"
        )
        raise ValueError(
            f"gradients over {len(shapes_a)} and {len(shapes_b)} tensors do not belong to the same parameters{where}. "
            "Take both over the same, non-empty aligned parameters"
        )
