"""An anchor: the backbone is pulled back to where it started, or to the slow mean of where it has been."""

from copy import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from vssl.learner.own_parts import own_part


class Anchor:
    """Pulls the weights of a backbone towards an anchor, with a strength per step (L2-SP: Li et al. 2018, 1802.01483).

    The penalty is weight/2 · ‖θ − anchor‖², over all weights of the backbone that are trained. Its gradient is
    weight · (θ − anchor).

    Args:
        student: where the anchor lies at first.
        weight: 0 or more.
        momentum: the anchor follows, anchor ← momentum·anchor + (1 − momentum)·θ, after each step; 1 leaves it at the
            start. In [0, 1].
        decoupled: step along the gradient beside the optimizer, θ ← θ − learning rate · weight · (θ − anchor), as
            AdamW does with weight decay. Otherwise the gradient is added to the loss's, as in the paper, and an Adam
            divides it by the size of recent gradients.

    Raises:
        ValueError: a number outside its range.
    """

    def __init__(self, student: nn.Module, weight: float, momentum: float = 1.0, decoupled: bool = True):
        if not 0 <= weight < float("inf"):
            raise ValueError(f"anchor.weight={weight} must be 0 or more, e.g. 0.1")
        if not 0 <= momentum <= 1:
            raise ValueError(f"anchor.momentum={momentum} must be in [0, 1]; 1 leaves the anchor at the start")
        self.weight, self.momentum, self.decoupled = weight, momentum, decoupled
        self.places = {name: p.detach().clone() for name, p in _trained(student).items()}

    @torch.no_grad()
    def add_gradient(self, student: nn.Module) -> None:
        """The penalty's gradient, onto the loss's; nothing where the anchor is decoupled."""
        if self.decoupled or not self.weight:
            return
        for name, p in _trained(student).items():
            if p.grad is not None:
                p.grad.add_(p - self.places[name], alpha=self.weight)

    @torch.no_grad()
    def pull(self, student: nn.Module, optimizer: Optimizer) -> None:
        """The decoupled step, at the present learning rate of each weight; nothing otherwise."""
        if not self.decoupled or not self.weight:
            return
        rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
        for name, p in _trained(student).items():
            p.lerp_(self.places[name], min(rates[id(p)] * self.weight, 1.0))

    @torch.no_grad()
    def follow(self, student: nn.Module) -> None:
        """After the step: the anchor moves."""
        if self.momentum < 1:
            for name, p in _trained(student).items():
                self.places[name].lerp_(p, 1 - self.momentum)

    def copied(self) -> "Anchor":
        """One that moves by itself; a place that stays is shared."""
        other = copy(self)
        if self.momentum < 1:
            other.places = {name: place.clone() for name, place in self.places.items()}
        return other

    def state_dict(self) -> dict[str, Tensor]:
        return dict(self.places)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if state.keys() != self.places.keys():
            raise ValueError(f"the anchor has other weights: {sorted(state.keys() ^ self.places.keys())[:3]}")
        for name, place in self.places.items():
            place.copy_(state[name])


def _trained(student: nn.Module) -> dict[str, Tensor]:
    return {name: own_part(p) for name, p in student.named_parameters() if p.requires_grad}
