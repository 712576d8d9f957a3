"""The order of images: endless, resumable, shared exactly between ranks; disjoint pools."""

from itertools import islice

import pytest

from vssl.datasets import PositionSampler, disjoint_splits


def take(count: int, **settings) -> list[tuple[int, int]]:
    return list(islice(PositionSampler(**settings), count))


def test_each_epoch_is_another_permutation_of_all_images():
    drawn = [index for index, _ in take(21, length=7, seed=3)]
    epochs = [drawn[k : k + 7] for k in (0, 7, 14)]
    assert all(sorted(epoch) == list(range(7)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3


def test_positions_count_up_and_the_seed_orders():
    assert [position for _, position in take(20, length=7, seed=3)] == list(range(20))
    assert take(20, length=7, seed=3) == take(20, length=7, seed=3)
    assert take(20, length=7, seed=3) != take(20, length=7, seed=4)


@pytest.mark.parametrize("world_size", [2, 3, 5])
def test_ranks_interleaved_are_the_order_of_one_rank(world_size):
    ranks = [take(8, length=7, seed=1, rank=rank, world_size=world_size) for rank in range(world_size)]
    woven = [ranks[i % world_size][i // world_size] for i in range(8 * world_size)]
    assert woven == take(8 * world_size, length=7, seed=1)


@pytest.mark.parametrize("start", [1, 6, 7, 8, 30])
def test_resuming_continues_the_uninterrupted_order(start):
    assert take(15, length=7, seed=1, start=start) == take(start + 15, length=7, seed=1)[start:]
    rank = take(6, length=7, seed=1, rank=1, world_size=2, start=start)
    assert rank == take(start + 12, length=7, seed=1)[start + 1 :: 2]


def test_a_million_images_start_anywhere_at_once():
    index, position = next(iter(PositionSampler(1_281_167, seed=0, start=10**10)))
    assert 0 <= index < 1_281_167 and position == 10**10


@pytest.mark.parametrize(
    "settings", [dict(length=0), dict(rank=2, world_size=2), dict(rank=-1), dict(start=-1), dict(seed=-1)]
)
def test_bad_settings_are_refused(settings):
    with pytest.raises(ValueError):
        PositionSampler(**dict(length=5, seed=0) | settings)


def test_pools_are_disjoint_subsets_of_the_asked_sizes():
    train, meta = disjoint_splits(100, 60, 40, seed=2)
    assert len(train) == 60 and len(meta) == 40
    assert sorted(train + meta) == list(range(100))
    assert disjoint_splits(100, 60, 40, seed=2) == (train, meta)
    assert disjoint_splits(100, 60, 40, seed=3) != (train, meta)
    assert disjoint_splits(100, 10, 40, seed=2)[1] == meta


def test_pools_that_do_not_fit_or_are_empty_are_named():
    with pytest.raises(ValueError, match=r"60 train \+ 41 meta images need 101 images, but the split has only 100"):
        disjoint_splits(100, 60, 41)
    with pytest.raises(ValueError, match="0 train and 5 meta"):
        disjoint_splits(100, 0, 5)
