"""Weights of a loss's components that add up to 1, for objectives whose loss is a mean over what they predict."""

from collections.abc import Iterable, Mapping


def component_shares(weights: Mapping[str, float], components: Iterable[str], kind: str) -> dict[str, float]:
    """`weights` of all `components` over their sum; components that are left out get 0.

    Args:
        kind: of objective, for the message.

    Raises:
        ValueError: the weight of an unknown component, one below 0, or none above 0.
    """
    components = list(components)
    if unknown := weights.keys() - set(components):
        raise ValueError(f"{kind}: the loss has no component {sorted(unknown)[0]!r}; it has {', '.join(components)}")
    if negative := [name for name, weight in weights.items() if not weight >= 0]:
        raise ValueError(f"{kind}: the weight of {negative[0]} is {weights[negative[0]]}; it must be 0 or more")
    total = sum(weights.values())
    if not total > 0:
        raise ValueError(f"{kind}: no component of the target has a weight above 0, got {dict(weights)}")
    return {name: weights.get(name, 0.0) / total for name in components}
