"""Images that know which source of the unlabeled stream each comes from."""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor


class SourcedImages(Tensor):
    """A batch of images, used like any other tensor, with where each comes from.

    Like `torch.nn.Parameter` it is a tensor that says something more: whatever is computed of it is a plain tensor.
    A slice of it keeps its sources.

    Attributes:
        sources: of each image, the number of its source.
        shares: by name, in the order of these numbers, how much of the stream each source is; they add up to 1.
    """

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]  # as nn.Parameter has it
    sources: Int[Tensor, " batch"]
    shares: Mapping[str, float]

    @staticmethod
    def of(
        images: Float[Tensor, "batch 3 height width"], sources: Int[Tensor, " batch"], shares: Mapping[str, float]
    ) -> "SourcedImages":
        found = images.as_subclass(SourcedImages)
        found.sources, found.shares = sources, shares
        return found

    def __getitem__(self, rows: Any) -> Tensor:
        some = super().__getitem__(rows)
        return SourcedImages.of(some, self.sources[rows], self.shares) if isinstance(rows, slice) else some
