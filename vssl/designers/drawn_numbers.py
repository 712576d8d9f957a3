"""What a policy's views are drawn from, as plain numbers for the record of a run."""

from typing import Any

import torch

from vssl.views.recipes import Recipe
from vssl.views.view_plan import WINDOW, Distribution, ViewPlan
from vssl.views.view_policy import PolicySpace


def drawn_numbers(recipe: Recipe, space: PolicySpace, distributions: list[Distribution]) -> list[dict[str, Any]]:
    """For each kind of view its ``numbers`` and ``gates``, at the start (the recipe's) and now.

    A number has name, unit, range, identity, initial and current ends of its uniform distribution, and the spread of
    the two ends over the images that `distributions` are for. A gate has initial and current probability, and spread.
    """
    views: list[dict[str, Any]] = []
    seen: list[tuple] = []
    n_global = len(recipe.global_plans)
    for index, (plan, distribution) in enumerate(zip(recipe.plans, distributions, strict=True)):
        kind = (space.group_of_view[index], plan)
        if kind in seen:  # e.g. six local crops with one plan and one policy
            views[seen.index(kind)]["members"].append(index)
            continue
        seen.append(kind)
        name = f"global crop {index}" if index < n_global else "local crops"
        group = space.group_names[space.group_of_view[index]]
        view: dict[str, Any] = {"name": name, "group": group, "members": [index]}
        views.append(view | _numbers_and_gates(plan, distribution))
    for view in views:
        if len(view["members"]) > 1 and view["name"].startswith("global"):
            view["name"] = "global crops" if len(view["members"]) == n_global else f"global crops {view['members']}"
    return views


def _numbers_and_gates(plan: ViewPlan, distribution: Distribution) -> dict[str, Any]:
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
