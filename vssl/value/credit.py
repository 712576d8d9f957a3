"""Credit: what each ingredient of the loss is worth, all at once, for one forward pass of the tail.

Let L = Σ w_k·L_k, and let v be the direction in which a rule values a step (vssl/value/rules.py). Giving ingredient k
more weight adds ∇L_k to the learner's gradient, so ∂V/∂w_k = ⟨v, ∇L_k⟩ = d/dε L_k(θ_S + εv). That is a derivative along
one direction: one forward pass gives it for every loss, of every component, image and token, and nothing is
differentiated twice.
"""

from collections.abc import Callable, Mapping, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from vssl.value.products import norm, or_one

RELATIVE_STEP = 2e-3
"""Of the difference, in ‖θ_S‖ / ‖v‖."""

_NO_FORWARD_MODE = ("forward AD", "forward mode AD", "forward-mode AD", "functorch transforms")


def credit(
    losses: Callable[[dict[str, Tensor]], dict[str, Tensor]], params: Mapping[str, Tensor], v: Sequence[Tensor]
) -> dict[str, Tensor]:
    """d/dε losses(θ_S + εv) at ε = 0, for every loss by name; detached, with the shapes of the losses.

    Positive: more of this loss makes the step worth more. By forward-mode differentiation, which is exact; where an
    operation of the tail has none, by a central difference (two passes; error 1e-2 at most in the tests).

    Args:
        losses: θ_S by name → losses by name, of any shape: `functional_components` with a state.
        params: θ_S by name.
        v: the direction, in the order of `params`: `MetaGradient.v`.

    Example::

        >>> theta = {"w": torch.tensor([1.0, 2.0])}
        >>> losses = lambda params: {"near": (params["w"] ** 2).sum(), "far": params["w"].sum()}
        >>> found = credit(losses, theta, [torch.tensor([1.0, 0.0])])
        >>> {name: float(value) for name, value in found.items()}  # ⟨v, ∇L_k⟩
        {'near': 2.0, 'far': 1.0}
    """
    point = {name: p.detach() for name, p in params.items()}
    direction = dict(zip(point, (d.detach() for d in v), strict=True))
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        try:
            _, derivatives = torch.func.jvp(losses, (point,), (direction,))  # type: ignore[misc]  # no has_aux: two
        except (NotImplementedError, RuntimeError) as error:
            if not any(said in str(error) for said in _NO_FORWARD_MODE):
                raise
            derivatives = _difference(losses, point, direction)
    return {name: d.detach() for name, d in derivatives.items()}


def worth_of_scores(
    scores: Float[Tensor, "rows patches"], earned: Float[Tensor, " predictions"], predicted: Int[Tensor, " predictions"]
) -> Float[Tensor, ""]:
    """A scalar whose derivative by the scores is ∂V/∂scores where each hidden patch's share of its row's loss is a
    softmax of the hidden patches' scores, at equal shares.

    Where scores are odds of being hidden, this is, at equal odds and in expectation over masks, ∂V/∂scores up to a
    factor, if a patch's credit does not depend on which others are hidden. What it is worth to them as context is left
    out.

    Args:
        scores: with a graph to φ.
        earned: credit of each prediction's loss.
        predicted: its index in ``scores.flatten()``. A row without predictions, as iBOT has, counts as 0.
    """
    rows, patches = scores.shape
    row = predicted // patches
    count = earned.new_zeros(rows).index_add(0, row, torch.ones_like(earned)).clamp(min=1)
    mean = earned.new_zeros(rows).index_add(0, row, earned) / count
    return (scores.flatten()[predicted] * (earned - mean[row]) / count[row]).sum() / rows


def _difference(losses, point: dict[str, Tensor], direction: dict[str, Tensor]) -> dict[str, Tensor]:
    step = RELATIVE_STEP * norm(list(point.values())) / or_one(norm(list(direction.values())))
    ahead, behind = (losses({n: p + sign * step * direction[n] for n, p in point.items()}) for sign in (1, -1))
    return {name: (ahead[name] - behind[name]) / (2 * step) for name in ahead}
