"""What a designer consists of, as far as a record of it needs to know: a policy and a mask."""

from dataclasses import replace
from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from vssl.designers import CandidateDesigner
from vssl.designers.base import Construction, Designer
from vssl.designers.blur_mask import MaskDesigner
from vssl.designers.policies import PolicyDesigner
from vssl.draws import Draws
from vssl.views.crops import Views
from vssl.views.ops.erasing import mix_with_blur
from vssl.views.view_plan import WINDOW, Distribution, Numbers

Images = Float[Tensor, "batch 3 height width"]


Part = TypeVar("Part", bound=Designer)


def part_of(designer: Designer, kind: type[Part]) -> Part | None:
    """The designer, or what it is composed of, if that is of the kind; the options of a `Choice` are no parts."""
    parts = [designer] if isinstance(designer, CandidateDesigner) else designer.modules()
    return next((part for part in parts if isinstance(part, kind)), None)


def policy_of(designer: Designer) -> PolicyDesigner | None:
    """The designer's policy, if it has one."""
    return part_of(designer, PolicyDesigner)


def mask_of(designer: Designer) -> MaskDesigner | None:
    """The designer's blur mask, if it has one."""
    return part_of(designer, MaskDesigner)


@torch.no_grad()
def matched_random(designer: Designer, images: Images, draws: Draws) -> Construction | None:
    """The designer's construction with its choices dealt to the wrong images; None where there is nothing to deal.

    Every image keeps its base crop and gets the mask, and the distribution and random numbers of the ops, that were
    made for its neighbour in the batch. All statistics over the batch stay what they are, so that whatever differs
    from the learned views is due to fitting the choice to the image.
    """
    policy, mask = policy_of(designer), mask_of(designer)
    if policy is None and mask is None:
        return None
    views = designer.recipe(images, draws) if policy is None else _neighbours_policy(policy, images, draws)
    if mask is None:
        return Construction(views, images.new_zeros(()))
    dealt = mask.masked(views).mask.roll(1, dims=1)
    crops = views.global_crops
    mixed = mix_with_blur(crops.flatten(0, 1), dealt.flatten(0, 1), mask.blur_sigma).unflatten(0, crops.shape[:2])
    return Construction(replace(views, global_crops=mixed), images.new_zeros(()), mask=dealt)


def _neighbours_policy(policy: PolicyDesigner, images: Images, draws: Draws) -> Views:
    numbers, distributions = [], []
    for plan, distribution in zip(policy.recipe.plans, policy.distributions(images), strict=True):
        own = plan.draw(len(images), draws)
        window = len(WINDOW)
        numbers.append(
            Numbers(
                torch.cat([own.magnitudes[:, :window], own.magnitudes[:, window:].roll(1, dims=0)], dim=1),
                torch.cat([own.gates[:, :1], own.gates[:, 1:].roll(1, dims=0)], dim=1),
                tuple(None if noise is None else noise.roll(1, dims=0) for noise in own.noise),
            )
        )
        distributions.append(Distribution(*(d.roll(1, dims=0) for d in distribution)))  # one row for all stays one row
    return policy.recipe.make(images, numbers, distributions, policy.temperature)
