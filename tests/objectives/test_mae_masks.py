"""MAE's fixed masks: how many patches they hide, where, and that ranks have the masks of the whole batch."""

import pytest
import torch

from vssl.draws import Draws
from vssl.objectives import MAE
from vssl.objectives.mae_masks import KINDS, mae_mask


def hidden_maps(kind, batch=400, grid=(8, 8), **settings):
    keep, hidden = mae_mask(kind, Draws(0, "o"), batch, grid, 0.75, **settings)
    maps = torch.zeros(batch, grid[0] * grid[1]).scatter(1, hidden, 1.0)
    assert torch.equal(maps.scatter(1, keep, 1.0), torch.ones_like(maps)) and keep.shape[1] + hidden.shape[1] == 64
    return maps.unflatten(1, grid)


@pytest.mark.parametrize("kind", KINDS)
def test_every_mask_hides_its_share_of_every_image(kind):
    maps = hidden_maps(kind)
    assert (maps.sum((1, 2)) == 48).all() and maps.mean(0).min() > 0.25


def test_blocks_are_connected_and_a_grid_shows_one_patch_of_each_cell():
    """Of the neighbours of a visible patch, the visible ones: a quarter where patches are drawn alone."""
    visible = {kind: 1 - hidden_maps(kind) for kind in KINDS}
    beside = {k: float((v[:, :, 1:] * v[:, :, :-1]).sum() / v[:, :, 1:].sum()) for k, v in visible.items()}
    assert beside["block"] > 0.4 and 0.2 < beside["random"] < 0.3 and beside["grid"] == 0
    cells = visible["grid"].unfold(1, 2, 2).unfold(2, 2, 2).sum((3, 4))
    assert (cells == 1).all() and len(visible["grid"].flatten(1).unique(dim=0)) == 4


@pytest.mark.parametrize("kind", KINDS)
def test_two_ranks_have_the_masks_of_one(kind):
    whole = mae_mask(kind, Draws(0, "x"), 8, (8, 8), 0.75)[1]
    ranks = [mae_mask(kind, Draws(0, "x", rank=rank, world_size=2), 4, (8, 8), 0.75)[1] for rank in (0, 1)]
    assert torch.equal(whole, torch.stack(ranks, dim=1).flatten(0, 1))


def test_bad_settings_are_refused(vit):
    with pytest.raises(ValueError, match="MAE mask='blocks'"):
        MAE(vit, mask="blocks")
    with pytest.raises(ValueError, match=r"give 0\.75"):
        mae_mask("grid", Draws(0, "o"), 2, (8, 8), 0.6)
    with pytest.raises(ValueError, match="do not fill a grid of 8x7"):
        mae_mask("grid", Draws(0, "o"), 2, (8, 7), 0.75)
    with pytest.raises(ValueError, match="leaves 0 of 4 patches visible"):
        mae_mask("block", Draws(0, "o"), 2, (2, 2), 0.9)
