"""Random numbers that depend on (seed, stream, step) and on nothing else.

Every random choice in a training step (crop windows, jitter, token masks) is drawn from a `Draws`. Nothing has to be
saved to resume a run exactly, two arms of a comparison can be given the same draws, and a batch split over ranks
gets the numbers that the whole batch would have got on one rank.
"""

import hashlib
from copy import copy

import torch
from torch import Tensor


class Draws:
    """Random numbers for one batch.

    Args:
        seed: the run's seed.
        stream: what the numbers are for, e.g. ``"views"`` or ``"meta views"``; streams are independent.
        step: the learner step.
        rank, world_size: this rank's share. Row ``i`` here is row ``i * world_size + rank`` of the whole batch, the
            order in which `vssl.datasets.PositionSampler` deals images to ranks.
        device: where the numbers are put; they are always drawn on the CPU, so that devices agree.

    Example::

        >>> import torch
        >>> once, again = Draws(0, "views", step=7), Draws(0, "views", step=7)
        >>> torch.equal(once.uniform(4), again.uniform(4))
        True
    """

    def __init__(
        self,
        seed: int,
        stream: str,
        step: int = 0,
        rank: int = 0,
        world_size: int = 1,
        device: torch.device | str = "cpu",
    ):
        digest = hashlib.sha256(f"{seed}/{stream}/{step}".encode()).digest()
        self._generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)
        self._name = seed, stream, step
        self._rank, self.world_size, self.device = rank, world_size, torch.device(device)

    def uniform(self, batch: int, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        """(batch, *shape) float32 numbers, uniform in [low, high)."""
        return self.share(torch.rand(batch * self.world_size, *shape, generator=self._generator)) * (high - low) + low

    def normal(self, batch: int, *shape: int) -> Tensor:
        """(batch, *shape) float32 standard normal numbers."""
        return self.share(torch.randn(batch * self.world_size, *shape, generator=self._generator))

    def permutation(self, batch: int, length: int) -> Tensor:
        """(batch, length) int64, each row a random permutation of 0..length-1."""
        return self.uniform(batch, length).argsort(dim=1)

    def stratified(self, batch: int, *shape: int) -> Tensor:
        """(batch, *shape) float32 numbers in [0, 1), each uniform, and spread evenly over the whole batch.

        With n numbers on all ranks, one lies in each n-th of the range.
        """
        whole = torch.rand(batch * self.world_size, *shape, generator=self._generator)
        places = torch.randperm(whole.numel(), generator=self._generator).view_as(whole)
        return self.share((places + whole) / whole.numel())

    def on(self, device: torch.device | str) -> "Draws":
        """The same stream of numbers, put on another device; what either draws, the other does not draw again."""
        other = copy(self)
        other.device = torch.device(device)
        return other

    def of_part(self, number: int, parts: int) -> "Draws":
        """The stream from its beginning, for every `parts`-th row of this rank from row `number` on.

        A part is to a rank what a rank is to the whole batch: it gets the numbers that its rows would have got in one
        piece.
        """
        return Draws(*self._name, number * self.world_size + self._rank, parts * self.world_size, self.device)

    def beside(self, number: int) -> "Draws":
        """Another stream in the same place, for the `number`-th batch of a step that has several."""
        seed, stream, step = self._name
        return Draws(seed, f"{stream}/{number}", step, self._rank, self.world_size, self.device)

    def whole(self) -> "Draws":
        """The same stream as one rank draws it: for choices that look at the whole batch, or that all ranks share.

        What was made of its numbers for ``batch * world_size`` rows goes through `share`.
        """
        other = copy(self)
        other._rank, other.world_size = 0, 1
        return other

    def share(self, whole: Tensor) -> Tensor:
        """This rank's rows of the whole batch, on `device`."""
        return whole[self._rank :: self.world_size].to(self.device, non_blocking=True)
