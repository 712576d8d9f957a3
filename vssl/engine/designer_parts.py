"""What a designer consists of, as far as a record of it needs to know: a policy, a mask, and plain numbers."""

from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from vssl.designers import CandidateSearch, MaskedPolicy
from vssl.designers.base import Construction, Designer
from vssl.designers.blur_mask import MaskDesigner
from vssl.designers.policies import GlobalPolicy, PolicyDesigner
from vssl.draws import Draws
from vssl.views.crops import Views
from vssl.views.ops.erasing import mix_with_blur
from vssl.views.view_plan import WINDOW, Distribution, Numbers

Images = Float[Tensor, "batch 3 height width"]


def policy_of(designer: Designer) -> PolicyDesigner | None:
    """The designer's policy, if it has one."""
    designer = designer.policy if isinstance(designer, MaskedPolicy) else designer
    return designer if isinstance(designer, PolicyDesigner) else None


def mask_of(designer: Designer) -> MaskDesigner | None:
    """The designer's blur mask, if it has one."""
    designer = designer.mask if isinstance(designer, MaskedPolicy) else designer
    return designer if isinstance(designer, MaskDesigner) else None


@torch.no_grad()
def describe_policy(designer: Designer, images: Images) -> dict[str, Any]:
    """What views are drawn from now, and at the start; empty for a designer without a policy.

    ``views``: for each kind of view its ``numbers`` (name, unit, range, identity, initial and current ends of the
    uniform distribution, spread of the two ends over `images`) and ``gates`` (initial and current probability,
    spread). ``strengths``: for `CandidateSearch`, the choices for each magnitude and their probabilities.
    """
    if isinstance(designer, CandidateSearch):
        probabilities = designer.logits.softmax(dim=1).tolist()
        choices = designer.strengths.tolist()
        means = designer.expected_strengths()
        return {
            "strengths": [
                {"name": name, "choices": choices, "probabilities": p, "mean": means[name]}
                for name, p in zip(designer.names, probabilities, strict=True)
            ]
        }
    policy = policy_of(designer)
    return {} if policy is None else {"views": _views(policy, images)}


def _views(policy: PolicyDesigner, images: Images) -> list[dict[str, Any]]:
    views: list[dict[str, Any]] = []
    seen: list[tuple] = []
    distributions = policy.distributions(images)
    n_global = len(policy.recipe.global_plans)
    for index, (plan, distribution) in enumerate(zip(policy.recipe.plans, distributions, strict=True)):
        kind = (policy.space.group_of_view[index], plan)
        if kind in seen:  # e.g. six local crops with one plan and one policy
            views[seen.index(kind)]["members"].append(index)
            continue
        seen.append(kind)
        name = f"global crop {index}" if index < n_global else "local crops"
        group = policy.space.group_names[policy.space.group_of_view[index]]
        view: dict[str, Any] = {"name": name, "group": group, "members": [index]}
        views.append(view | _numbers_and_gates(plan, distribution))
    for view in views:
        if len(view["members"]) > 1 and view["name"].startswith("global"):
            view["name"] = "global crops" if len(view["members"]) == n_global else f"global crops {view['members']}"
    return views


def _numbers_and_gates(plan, distribution: Distribution) -> dict[str, Any]:
    low, high, probabilities = distribution
    # a spread that went through 0 has its ends the other way round and means the same
    parts = (torch.minimum(low, high), torch.maximum(low, high), probabilities)
    means = [part.mean(0).tolist() for part in parts]
    spreads = [part.std(0, correction=0).tolist() for part in parts]
    gates = [plan.gates[column] for column in plan.gate_columns]
    numbers = [
        {
            "name": magnitude.name,
            "unit": magnitude.unit,
            "range": [magnitude.low, magnitude.high],
            "identity": magnitude.identity,
            "initial": list(plan.ranges[i]),
            "current": [means[0][i], means[1][i]],
            "spread": [spreads[0][i], spreads[1][i]],
            "gate": gates[i - len(WINDOW)] if i >= len(WINDOW) else None,
        }
        for i, magnitude in enumerate(plan.magnitudes)
    ]
    described_gates = [
        {"name": gate, "initial": plan.probabilities[i], "current": means[2][i], "spread": spreads[2][i]}
        for i, gate in enumerate(plan.gates)
    ]
    return {"numbers": numbers, "gates": described_gates}


def learned_numbers(designer: Designer) -> list[dict[str, str]]:
    """The few parameters of a `GlobalPolicy` in the order of its flattened rows, or an empty list for other designers.

    Each is the offset in logits of one ``end`` ("centre" or "spread" of the two ends of a magnitude's range, or
    "probability") of one ``name`` in one ``group``.
    """
    policy = policy_of(designer)
    if not isinstance(policy, GlobalPolicy):
        return []
    labels = []
    for group in policy.space.groups:
        plan = policy.recipe.plans[policy.space.group_of_view.index(group)]
        names = [magnitude.name for magnitude in plan.magnitudes]
        ends = [("centre", names), ("spread", names), ("probability", plan.gates)]
        group_name = policy.space.group_names[group]
        labels += [{"group": group_name, "name": name, "end": end} for end, of in ends for name in of]
    return labels


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
