"""Penalties on designers. Each is off by default; the mask's keep ratio and total variation are in blur_mask.py.

`PolicyPenalty` is part of the policy designers. `recognisability` needs what only the loop has, the teacher: it adds it
to the designer's penalty. The penalty on the growth of ‖g_pre‖ is a rule, `vssl.value.NormGrowth`.
"""

from collections.abc import Sequence

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from vssl.views.view_plan import Distribution, ViewPlan

# Probabilities are held this far from 0 and 1 inside logarithms.
MARGIN = 1e-3


class PolicyPenalty:
    """Keeps a learned policy near its start, or keeps it from collapsing onto single values.

    Args:
        divergence: weight of the distance to the recipe, see `divergence`; 0.1 is a start.
        entropy: weight of −entropy, see `entropy`; 0.01 is a start.

    Raises:
        ValueError: a negative weight.
    """

    def __init__(self, divergence: float = 0.0, entropy: float = 0.0):
        if divergence < 0 or entropy < 0:
            raise ValueError(f"divergence={divergence} and entropy={entropy} are weights of penalties, 0 or more")
        self.divergence, self.entropy = divergence, entropy

    def __call__(self, plans: Sequence[ViewPlan], distributions: Sequence[Distribution]) -> Float[Tensor, ""]:
        penalty = distributions[0].low.new_zeros(())
        for plan, distribution in zip(plans, distributions, strict=True):
            if self.divergence:
                penalty = penalty + self.divergence * divergence(plan, distribution) / len(plans)
            if self.entropy:
                penalty = penalty - self.entropy * entropy(plan, distribution) / len(plans)
        return penalty


def divergence(plan: ViewPlan, distribution: Distribution) -> Float[Tensor, ""]:
    """How far a distribution is from its plan's: KL of the gates plus squared Wasserstein-2 of the magnitudes.

    KL between uniform distributions is infinite as soon as one leaves the other; the Wasserstein distance is not.
    With the ends moved by a and b, in units of the magnitude's range, it is (a² + ab + b²) / 3. Summed over numbers,
    averaged over images.
    """
    base = plan.distribution(distribution.low.device)
    spans = _spans(plan, distribution.low)
    a, b = (distribution.low - base.low) / spans, (distribution.high - base.high) / spans
    p, q = (d.probability.clamp(MARGIN, 1 - MARGIN) for d in (distribution, base))
    kl = p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()
    return ((a * a + a * b + b * b) / 3).sum(1).mean() + kl.sum(1).mean()


def entropy(plan: ViewPlan, distribution: Distribution) -> Float[Tensor, ""]:
    """Entropy of the gates plus that of the magnitudes relative to their whole range, in nats.

    Magnitudes that the plan itself holds at one value are left out. Summed over numbers, averaged over images.
    """
    base = plan.distribution(distribution.low.device)
    widths = (distribution.high - distribution.low).abs() / _spans(plan, distribution.low)
    drawn = (base.low != base.high).to(widths)
    p = distribution.probability.clamp(MARGIN, 1 - MARGIN)
    gates = -(p * p.log() + (1 - p) * (1 - p).log())
    return (drawn * widths.clamp(min=MARGIN).log()).sum(1).mean() + gates.sum(1).mean()


def recognisability(
    base_logits: Float[Tensor, "batch prototypes"], designed_logits: Float[Tensor, "batch prototypes"]
) -> Float[Tensor, ""]:
    """Cross-entropy of the teacher's answer to designed views against its answer to the base views.

    Args:
        base_logits: the teacher's, on base views; taken as constant.
        designed_logits: the teacher's, on designed views, with a graph to φ.
    """
    target = base_logits.detach().softmax(dim=1)
    return -(target * F.log_softmax(designed_logits, dim=1)).sum(dim=1).mean()


def _spans(plan: ViewPlan, like: Tensor) -> Float[Tensor, " magnitudes"]:
    return like.new_tensor([magnitude.high - magnitude.low for magnitude in plan.magnitudes])
