"""Where a view lies in its image, as a recipe says it."""

import torch

from vssl.designers import GlobalPolicy
from vssl.draws import Draws
from vssl.views import GatedOp, MultiCrop
from vssl.views.ops.geometric import ROTATE

PLAIN = {"jitter": None, "grayscale": 0.0, "blur": None}


def coordinates(height: int, width: int) -> torch.Tensor:
    """Channels 0 and 1 hold each pixel's x and y as shares of the sides."""
    x = ((torch.arange(width) + 0.5) / width).expand(height, width)
    y = ((torch.arange(height) + 0.5) / height).unsqueeze(1).expand(height, width)
    return torch.stack([x, y, torch.zeros(height, width)])


def test_a_view_shows_what_its_box_says():
    """To a thirtieth of a pixel of the view: the filter's weights make a ramp slightly uneven."""
    recipe = MultiCrop(16, 8, n_local=2, global_scale=(0.2, 0.5), **PLAIN)
    views = recipe(coordinates(60, 90).expand(20, -1, -1, -1), Draws(0, "views"))
    flipped = views.global_boxes[..., 0] > views.global_boxes[..., 2]
    assert 0.2 < flipped.float().mean() < 0.8
    for crops, boxes in [(views.global_crops, views.global_boxes), (views.local_crops, views.local_boxes)]:
        side = crops.shape[-1]
        place = (torch.arange(side) + 0.5) / side
        left, top, right, bottom = (edge.unsqueeze(-1) for edge in boxes.unbind(-1))
        x, y = left + place * (right - left), top + place * (bottom - top)
        inner = slice(2, -2)
        assert (crops[..., 0, side // 2, inner] - x[..., inner]).abs().max() < 1e-3
        assert (crops[..., 1, inner, side // 2] - y[..., inner]).abs().max() < 1e-3


def test_ops_that_move_pixels_leave_no_box():
    views = MultiCrop(16, extra=[GatedOp(ROTATE, -10, 10, 0.5)], **PLAIN)(torch.rand(2, 3, 20, 20), Draws(0, "views"))
    assert views.global_boxes is None and views.local_boxes is None


def test_boxes_of_a_policy_are_the_recipes_and_carry_its_gradient():
    recipe, images = MultiCrop(16, **PLAIN), torch.rand(4, 3, 20, 20)
    policy = GlobalPolicy(recipe, learn=("area",))
    made, fixed = policy(images, Draws(0, "views")).views, recipe(images, Draws(0, "views"))
    assert torch.equal(made.global_boxes, fixed.global_boxes) and made.global_boxes.requires_grad
    assert not made.detach().global_boxes.requires_grad
