"""Which image is drawn when: an endless order that a position fixes, so that runs resume and ranks share exactly."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Int
from torch.utils.data import Sampler


class PositionSampler(Sampler[tuple[int, int]]):
    """Yields (index, position) for ever.

    Position p belongs to epoch p // length, and in each epoch a permutation that depends on (seed, epoch) alone orders
    the images. Rank r takes the positions start + r, start + r + world_size, …, so row i of its batches is row
    i·world_size + r of the batches that one rank would see, and `start` resumes anywhere, also within an epoch.
    Datasets derive the randomness of one draw from its position.

    Args:
        length: number of images.
        seed: of the order, ≥ 0.
        rank, world_size: this process's share.
        start: positions that all ranks together have already taken.

    Raises:
        ValueError: no images, or rank or start out of range.
    """

    def __init__(self, length: int, seed: int, rank: int = 0, world_size: int = 1, start: int = 0):
        if length < 1:
            raise ValueError(f"a sampler over {length} images: there is nothing to draw from")
        if not 0 <= rank < world_size:
            raise ValueError(f"rank {rank} of {world_size}: expected 0 <= rank < world_size")
        if start < 0 or seed < 0:
            raise ValueError(f"start {start}, seed {seed}: expected 0 or more")
        self.length, self.seed, self.rank, self.world_size, self.start = length, seed, rank, world_size, start

    def __iter__(self) -> Iterator[tuple[int, int]]:
        position, epoch, order = self.start + self.rank, -1, np.empty(0, np.int64)
        while True:
            if position // self.length != epoch:
                epoch = position // self.length
                order = self.order(epoch)
            yield int(order[position % self.length]), position
            position += self.world_size

    def order(self, epoch: int) -> Int[np.ndarray, " length"]:
        """Every image once."""
        return np.random.default_rng((self.seed, epoch)).permutation(self.length)


class ShardOrder(PositionSampler):
    """The same for images in shards, so that few shards are in use at a time.

    In each epoch shards have random places 0, 1, 2, …; an image comes at its shard's place plus a random number in
    [0, buffer). So at any time images come from `buffer` shards, which is what a shuffle buffer of that size does, and
    a new shard is needed about once in as many images as a shard has.

    Args:
        shards: the shard of each image.
        buffer: in shards, 1 or more; 1 mixes the images of neighbours only.
        seed, rank, world_size, start: see `PositionSampler`.
    """

    def __init__(
        self,
        shards: Int[np.ndarray, " length"],
        buffer: int,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
        start: int = 0,
    ):
        super().__init__(len(shards), seed, rank, world_size, start)
        self.shards, self.buffer, self.count = np.asarray(shards), buffer, int(shards.max()) + 1

    def order(self, epoch: int) -> Int[np.ndarray, " length"]:
        numbers = np.random.default_rng((self.seed, epoch))
        places = np.empty(self.count)
        places[numbers.permutation(self.count)] = np.arange(self.count)
        return np.argsort(places[self.shards] + self.buffer * numbers.random(self.length), kind="stable")

    def shards_of(self, epoch: int) -> Int[np.ndarray, " shards"]:
        """The shards in the order in which they are first needed."""
        return np.random.default_rng((self.seed, epoch)).permutation(self.count)


def index_and_position(key: int | tuple[int, int]) -> tuple[int, int]:
    """A dataset's key as (index, position); a plain index is its own position, so that it always draws alike."""
    index, position = key if isinstance(key, tuple) else (key, key)
    return int(index), int(position)


def disjoint_splits(length: int, train: int, meta: int, seed: int = 0) -> tuple[list[int], list[int]]:
    """Two random disjoint subsets of 0..length-1: `train` indices that fit heads, `meta` that gradients come from.

    Both are sorted. The meta pool of a seed does not change with `train` (nor the other way round, while both fit).

    Raises:
        ValueError: an empty pool, or more images asked for than there are.
    """
    if train < 1 or meta < 1:
        raise ValueError(f"feedback pools of {train} train and {meta} meta images: both need at least one")
    if train + meta > length:
        raise ValueError(
            f"feedback pools of {train} train + {meta} meta images need {train + meta} images, but the split has only "
            f"{length}. Ask for fewer, or prepare more images."
        )
    order = np.random.default_rng(seed).permutation(length)
    return sorted(order[length - train :].tolist()), sorted(order[:meta].tolist())


def third_split(length: int, train: int, meta: int, heldout: int, seed: int = 0) -> list[int]:
    """`heldout` further indices, sorted, in neither subset that `disjoint_splits` makes of the same numbers.

    Raises:
        ValueError: fewer images are left than asked for.
    """
    if not 1 <= heldout <= length - train - meta:
        raise ValueError(
            f"a held-out part of {heldout} images beside {train} train + {meta} meta needs "
            f"{train + meta + heldout} images, but the split has {length}. "
            "Ask for fewer, at least one, or prepare more images."
        )
    return sorted(np.random.default_rng(seed).permutation(length)[meta : meta + heldout].tolist())
