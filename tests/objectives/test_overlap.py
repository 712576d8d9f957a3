"""Where crops overlap, and features on a grid over it, against torchvision."""

import pytest
import torch
from torchvision import ops

from vssl.objectives.overlap import SAMPLES, common_region, inside, roi_align

REGIONS = torch.tensor([[0.1, 0.2, 0.9, 0.7], [0.0, 0.0, 1.0, 1.0], [0.4, 0.5, 0.55, 0.95]]).double()


def test_roi_align_is_torchvisions():
    patches = torch.randn(3, 24, 5).double()
    scale = torch.tensor([6, 4, 6, 4]).double()
    rois = torch.cat([torch.arange(3).double().unsqueeze(1), REGIONS * scale], dim=1)
    maps = patches.transpose(1, 2).unflatten(2, (4, 6))
    expected = ops.roi_align(maps, rois, output_size=7, sampling_ratio=SAMPLES, aligned=True)
    torch.testing.assert_close(roi_align(patches, (4, 6), REGIONS, 7), expected.flatten(2).transpose(1, 2))


def test_a_mirrored_crop_gives_the_cells_of_the_upright_one():
    maps = torch.randn(3, 4, 6, 5).double()
    mirrored = REGIONS.clone()
    mirrored[:, [0, 2]] = 1 - REGIONS[:, [0, 2]]  # left > right
    upright = roi_align(maps.flatten(1, 2), (4, 6), REGIONS, 3)
    torch.testing.assert_close(roi_align(maps.flip(2).flatten(1, 2), (4, 6), mirrored, 3), upright)


def test_roi_align_has_gradients_in_features_and_regions_of_first_and_second_order():
    patches = torch.randn(2, 12, 2).double().requires_grad_()
    regions = torch.tensor([[0.11, 0.23, 0.87, 0.74], [0.93, 0.12, 0.31, 0.95]]).double().requires_grad_()

    def cells(patches, regions):
        return roi_align(patches, (3, 4), regions, 3).square()

    assert torch.autograd.gradcheck(cells, (patches, regions), eps=1e-7, atol=1e-6)
    assert torch.autograd.gradgradcheck(cells, (patches, regions), eps=1e-7, atol=1e-5)


def test_the_common_region_in_image_and_crops():
    first = torch.tensor([[0.0, 0.0, 0.5, 0.5], [0.6, 0.1, 0.2, 0.9], [0.0, 0.0, 0.2, 0.2]])
    second = torch.tensor([[0.25, 0.25, 1.0, 1.0], [0.0, 0.0, 1.0, 1.0], [0.5, 0.5, 1.0, 1.0]])
    region, share = common_region(first, second)
    torch.testing.assert_close(region[:2], torch.tensor([[0.25, 0.25, 0.5, 0.5], [0.2, 0.1, 0.6, 0.9]]))
    assert share.tolist() == pytest.approx([0.0625, 0.32, 0.0])
    torch.testing.assert_close(inside(region, first)[0], torch.tensor([0.5, 0.5, 1.0, 1.0]))
    torch.testing.assert_close(inside(region, first)[1], torch.tensor([1.0, 0.0, 0.0, 1.0]))  # mirrored
    torch.testing.assert_close(inside(region, second)[0], torch.tensor([0.0, 0.0, 1 / 3, 1 / 3]))
