import math

import torch
import torchvision.transforms.v2.functional as tv
from kornia.geometry import transform

from vssl.draws import Draws
from vssl.views.ops import geometric, warp
from vssl.views.render import render
from vssl.views.view_plan import GatedOp, ViewPlan


def images(side: int = 17) -> torch.Tensor:
    return torch.rand(2, 3, side, side + 4, generator=torch.Generator().manual_seed(0))


def test_equal_kornias_image_functions():
    x, reflect = images(), {"padding_mode": "reflection", "align_corners": True}
    degrees, factors = torch.tensor([30.0, -75.0]), torch.tensor([0.7, 1.6])
    assert (geometric.ROTATE(x, degrees) - transform.rotate(x, degrees, **reflect)).abs().max() < 1e-4
    assert (
        geometric.SCALE(x, factors) - transform.scale(x, factors.view(2, 1).expand(2, 2), **reflect)
    ).abs().max() < 1e-4
    shift = torch.tensor([0.25, -0.1])
    pixels = torch.stack([shift * x.shape[3], torch.zeros(2)], 1)
    assert (geometric.TRANSLATE_X(x, shift) - transform.translate(x, pixels, **reflect)).abs().max() < 1e-4
    pixels = torch.stack([torch.zeros(2), shift * x.shape[2]], 1)
    assert (geometric.TRANSLATE_Y(x, shift) - transform.translate(x, pixels, **reflect)).abs().max() < 1e-4


def test_a_quarter_turn_is_rot90():
    x = torch.rand(1, 3, 9, 9)
    assert (geometric.ROTATE(x, torch.tensor([90.0])) - torch.rot90(x, 1, (2, 3))).abs().max() < 1e-4


def test_shear_moves_rows_and_columns_about_the_centre():
    degrees = torch.tensor([math.degrees(math.atan(0.5))])
    right_of_centre, below_centre = torch.tensor([[6.0, 4.0, 1.0]]), torch.tensor([[4.0, 6.0, 1.0]])
    size = (9, 9)  # the centre is (4, 4)
    across, down = geometric.SHEAR_X.matrix(degrees, size)[0], geometric.SHEAR_Y.matrix(degrees, size)[0]
    assert torch.allclose(below_centre @ across.T, torch.tensor([[3.0, 6.0, 1.0]]), atol=1e-5)
    assert torch.allclose(right_of_centre @ across.T, right_of_centre, atol=1e-5)
    assert torch.allclose(right_of_centre @ down.T, torch.tensor([[6.0, 3.0, 1.0]]), atol=1e-5)
    assert torch.allclose(below_centre @ down.T, below_centre, atol=1e-5)


def test_shear_equals_torchvision_away_from_the_border():
    x, degrees = images(21)[:, :, :21, :21], 20.0
    for op, shear in ((geometric.SHEAR_X, [degrees, 0.0]), (geometric.SHEAR_Y, [0.0, degrees])):
        ours = op(x, torch.full((2,), degrees))
        theirs = tv.affine(x, 0.0, [0, 0], 1.0, shear, interpolation=tv.InterpolationMode.BILINEAR)
        assert (ours - x)[:, :, 5:-5, 5:-5].abs().max() > 0.3
        assert (ours - theirs)[:, :, 5:-5, 5:-5].abs().max() < 1e-3


def test_perspective_equals_torchvision_away_from_the_border():
    x, corners = torch.rand(1, 3, 24, 24), torch.tensor([[[1.0, 0.5], [0.2, 0.4], [0.25, 1.0], [1.0, 0.3]]])
    ours = geometric.PERSPECTIVE(x, torch.tensor([0.3]), corners)
    # torchvision's coordinates begin half a pixel before the first pixel's centre.
    starts = torch.tensor([[0.0, 0.0], [23.0, 0.0], [23.0, 23.0], [0.0, 23.0]]) + 0.5
    ends = starts + 0.3 * 12 * corners[0] * torch.tensor([[1, 1], [-1, 1], [-1, -1], [1, -1]])
    theirs = tv.perspective(x, starts.tolist(), ends.tolist(), tv.InterpolationMode.BILINEAR)
    assert (ours - theirs)[:, :, 6:-6, 6:-6].abs().max() < 1e-3


def test_perspective_moves_the_corners_inwards():
    corners = torch.tensor([[[1.0, 0.5], [0, 0], [0.25, 1.0], [1, 1]]])
    matrix = geometric.PERSPECTIVE.matrix(torch.tensor([0.5]), (20, 40), corners)[0]
    source = torch.tensor([[0.0, 0, 1], [39, 0, 1], [39, 19, 1], [0, 19, 1]])
    moved = source @ matrix.T
    expected = torch.tensor([[10.0, 2.5], [39, 0], [39 - 2.5, 14], [10, 14]])
    assert torch.allclose(moved[:, :2] / moved[:, 2:], expected, atol=1e-3)


def test_neighbouring_ops_are_one_warp_by_the_product_of_their_matrices():
    plan_ops = (
        GatedOp(geometric.ROTATE, 20.0, 20.0),
        GatedOp(geometric.SCALE, 1.3, 1.3),
        GatedOp(geometric.TRANSLATE_X, 0.1, 0.1),
    )
    plan = ViewPlan(16, plan_ops, area=(1, 1), log_ratio=(0, 0), flip=0)
    x = torch.rand(2, 3, 16, 16)
    out = render(x, plan, plan.draw(2, Draws(0, "v")), plan.distribution())
    matrices = [g.op.matrix(torch.full((2,), g.low), (16, 16)) for g in plan_ops]
    assert (out - warp(x, matrices[2] @ matrices[1] @ matrices[0])).abs().max() < 1e-5
