"""`ImageWeights`: which images count, as a weight of each image's loss, learned by credit or by rollouts."""

import math
from dataclasses import replace
from itertools import pairwise

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from vssl.designers.base import Construction
from vssl.designers.ingredient import Ingredient, times
from vssl.designers.source_shares import check_weighs_images
from vssl.distributed import rank_and_size, total
from vssl.draws import Draws
from vssl.views.recipes import Recipe


class ImageWeights(Ingredient):
    """The recipe's views, and a learned weight for each image of a batch.

    A small convolutional network looks at each image. The weights of a batch, on all ranks, are a softmax over its
    answers times the number of images, so their mean is 1. Its last layer starts at 0: all images count alike, and
    until φ moves the learner's step is the recipe's to the last bit.

    Args:
        bound: an image's answer stays within ±log(`bound`): no image gets more than `bound`² times another's weight.
            Above 1.
        entropy: weight of the Kullback-Leibler divergence of the batch's shares from equal ones, 0 or more.
        width: channels of the first layer; the second has twice, the third four times as many.
        input_size: side to which images are reduced before the network looks at them, pixels.

    Raises:
        ValueError: a number outside its range.
    """

    def __init__(self, recipe: Recipe, bound: float = 3.0, entropy: float = 0.0, width: int = 8, input_size: int = 32):
        super().__init__(recipe)
        if not bound > 1 or not entropy >= 0:
            raise ValueError(f"ImageWeights: bound={bound} must be above 1 and entropy={entropy} 0 or more")
        self.limit, self.entropy, self.input_size = math.log(bound), entropy, input_size
        layers: list[nn.Module] = []
        for into, out in pairwise([3, width, 2 * width, 4 * width]):
            layers += [nn.Conv2d(into, out, 3, stride=2, padding=1), nn.GroupNorm(1, out), nn.GELU()]
        self.network = nn.Sequential(*layers)
        self.head = nn.Linear(4 * width, 1, bias=False)  # a bias would cancel in the softmax
        nn.init.zeros_(self.head.weight)

    def check(self, objective: nn.Module) -> None:
        """Raises ValueError when the objective has one loss for the whole batch."""
        check_weighs_images(self, objective)

    def answers(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, " batch"]:
        """The logarithms of the images' weights, up to a constant of the batch."""
        small = F.adaptive_avg_pool2d(images, self.input_size)
        answers = self.head(self.network((small - 0.5) / 0.25).mean(dim=(2, 3))).squeeze(1)
        return self.limit * torch.tanh(answers)

    def add(self, made: Construction, images: Float[Tensor, "batch 3 height width"], draws: Draws) -> Construction:
        # A batch that only this rank looks at (a panel of images) is whole by itself.
        over_ranks = total if draws.world_size > 1 else torch.clone
        # The draws of a part of a batch count parts too, the sum is over ranks alone.
        answers, n = self.answers(images), len(images) * (rank_and_size()[1] if draws.world_size > 1 else 1)
        log_share = answers - over_ranks(answers.exp().sum()).log()
        weights = log_share.exp() * n
        return replace(
            made,
            penalty=made.penalty + self.entropy * over_ranks((log_share.exp() * (log_share + math.log(n))).sum()),
            statistics=made.statistics
            | {"image_weight/min": weights.detach().min(), "image_weight/max": weights.detach().max()},
            weights=times(made.weights, weights),
            image_weights=weights.detach() if bool(self.head.weight.any()) else None,
        )
