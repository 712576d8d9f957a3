"""Token masks: block-wise masking as iBOT's and DINOv2's code has it, the same for any number of ranks."""

import math

import pytest
import torch

from vssl.draws import Draws
from vssl.objectives.patch_masks import BlockMasks, RandomMasks

KINDS = {"block": BlockMasks, "exact": lambda *a, **k: BlockMasks(*a, exact=True, **k), "random": RandomMasks}


@pytest.fixture(params=KINDS)
def kind(request):
    return KINDS[request.param]


def test_half_of_the_views_are_masked_with_ratios_spread_over_the_range(kind):
    mask, hidden = kind((0.1, 0.5), 0.5)(Draws(0, "objective"), batch=100, views=2, grid=(14, 14))
    assert mask.shape == (200, 196) and torch.equal(hidden, mask.flatten().nonzero().squeeze(1))
    share = mask.float().mean(1)
    assert (share > 0).sum() == 100 and share.max() <= 0.5
    masked = share[share > 0]
    assert masked.mean() == pytest.approx(0.3, abs=0.01) and masked.min() >= 0.07  # 10 %, less what no block filled
    if kind is not BlockMasks:  # one ratio in each hundredth of the range, rounded down to whole patches
        lowest = 0.1 + 0.4 * torch.arange(100) / 100
        assert ((masked.sort().values - lowest).abs() <= 0.4 / 100 + 1 / 196).all()


def test_blocks_stay_below_the_wanted_number_and_are_connected_more_than_single_patches():
    """Of the four neighbours of a hidden patch, those hidden too: more than four fifths in blocks, a third in noise."""
    shares = {}
    for name, kind in (("block", BlockMasks), ("random", RandomMasks)):
        mask = kind((0.3, 0.3), 1.0)(Draws(0, "objective"), 100, 1, (14, 14)).mask.unflatten(1, (14, 14)).float()
        assert mask.sum((1, 2)).max() <= int(0.3 * 196)
        pairs = (mask[:, 1:] * mask[:, :-1]).sum() + (mask[:, :, 1:] * mask[:, :, :-1]).sum()
        shares[name] = float(2 * pairs / (4 * mask.sum()))
    assert shares["block"] > 0.65 and shares["random"] < 0.35


def test_a_first_block_is_a_rectangle_within_the_limits_of_area_and_shape():
    masks = BlockMasks((0.5, 0.5), 1.0, min_patches=9, min_aspect=0.5)
    numbers = Draws(0, "objective").uniform(500, 10, 4)
    mask = masks._block(numbers, torch.zeros(500, 12, 12, dtype=torch.bool), torch.full((500,), 72))
    rows, columns = mask.any(2), mask.any(1)
    height, width, area = rows.sum(1), columns.sum(1), mask.sum((1, 2))
    assert torch.equal(area, height * width) and area.max() <= 72 and area.min() >= 6  # 9, less rounding of its sides
    aspect = (height / width).log()
    assert aspect.abs().max() <= math.log(2) + 0.5 and aspect.std() > 0.2
    assert {int(r.int().argmax()) for r in rows} >= set(range(8))  # anywhere in the grid


def test_ranks_have_the_masks_of_the_whole_batch(kind):
    whole, _ = kind()(Draws(3, "objective", 7), 8, 2, (6, 6))
    for rank in (0, 1):
        share, _ = kind()(Draws(3, "objective", 7, rank, 2), 4, 2, (6, 6))
        assert torch.equal(share.unflatten(0, (2, 4)), whole.unflatten(0, (2, 8))[:, rank::2])


def test_masks_follow_the_step_and_what_is_drawn_next_does_not_follow_them():
    first, again, other = (BlockMasks()(Draws(0, "o", step), 8, 2, (6, 6)).mask for step in (3, 3, 4))
    assert torch.equal(first, again) and not torch.equal(first, other)
    after = []
    for ratio in ((0.1, 0.1), (0.5, 0.5)):
        draws = Draws(0, "o")
        BlockMasks(ratio)(draws, 8, 2, (6, 6))
        after.append(draws.uniform(8))
    assert torch.equal(*after)


def test_no_view_is_masked_at_probability_0_and_every_one_at_1(kind):
    for probability, count in ((0.0, 0), (1.0, 16)):
        mask, _ = kind((0.3, 0.3), probability)(Draws(0, "o"), 8, 2, (8, 8))
        assert mask.any(1).sum() == count


def test_bad_settings_are_refused():
    with pytest.raises(ValueError, match=r"mask ratio=\(0.5, 0.1\) must be \(lowest, highest\)"):
        BlockMasks((0.5, 0.1))
    with pytest.raises(ValueError, match="mask probability=2"):
        RandomMasks(probability=2)
    with pytest.raises(ValueError, match="min_aspect=0"):
        BlockMasks(min_aspect=0)
    with pytest.raises(ValueError, match="min_patches=0"):
        BlockMasks(min_patches=0)
