"""Does the value predict what happens? Pieces of the one-step probe: an update and its predicted drop.

The paper's probe: over many batches, the predicted drop of L_down against the drop measured after really taking the
step (r = 0.657 in its language experiment).
"""

import torch
from jaxtyping import Float
from torch import Tensor

from vssl.value.products import Gradient, dot


def predicted_drop(g_down: Gradient, update: Gradient) -> Float[Tensor, ""]:
    """L_down(θ) − L_down(θ + update) to first order, i.e. −⟨g_down, update⟩. Positive: the step helps."""
    return -dot(g_down, update)


def sgd_update(g_pre: Gradient, learning_rate: float) -> list[Tensor]:
    """θ_new − θ of plain SGD: −η·g_pre. Its predicted drop is η⟨g_down, g_pre⟩."""
    return [-learning_rate * g for g in g_pre]


@torch.no_grad()
def adam_update(optimizer: torch.optim.Optimizer, params: dict[str, Tensor], g_pre: Gradient) -> list[Tensor]:
    """θ_new − θ that `optimizer` (AdamW) would make of g_pre, momentum and weight decay included; it is not stepped.

    Raises:
        ValueError: the optimizer is not AdamW, or uses amsgrad or maximize.
    """
    if not isinstance(optimizer, torch.optim.AdamW):
        raise ValueError(f"adam_update needs torch.optim.AdamW, not {type(optimizer).__name__}; see sgd_update for SGD")
    groups = {p: group for group in optimizer.param_groups for p in group["params"]}
    return [_adam_update(p, g, groups[p], optimizer.state.get(p)) for p, g in zip(params.values(), g_pre, strict=True)]


def _adam_update(p: Tensor, g: Tensor, group: dict, state: dict | None) -> Tensor:
    if group["amsgrad"] or group["maximize"]:
        raise ValueError("adam_update knows AdamW without amsgrad and without maximize")
    beta1, beta2 = group["betas"]
    first, second, steps = (state["exp_avg"], state["exp_avg_sq"], float(state["step"])) if state else (0.0, 0.0, 0.0)
    first = (beta1 * first + (1 - beta1) * g) / (1 - beta1 ** (steps + 1))
    second = (beta2 * second + (1 - beta2) * g**2) / (1 - beta2 ** (steps + 1))
    return -group["lr"] * (first / (second.sqrt() + group["eps"]) + group["weight_decay"] * p)
