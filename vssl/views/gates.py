"""Gates: an op is applied to an image or it is not, and yet its probability gets a gradient.

Forward, a gate is hard: open where a uniform number lies below the probability, so that the views that value a step
are the views that the learner sees. Backward there are two ways:

- `likelihood_weights`, the score function: each image's share of the value is compared with the batch's mean, and what
  was chosen for images above it becomes more likely. For losses that are a mean over n images, each of its own image
  alone (MAE, DINO), it is (n − 1)/n of the gradient of the expected value, exactly for rules that are linear in g_pre,
  and up to order 1/n for the others. SimCLR's loss compares images, so that a gate also acts through the losses of
  other images: there it leaves that part out.
- `sample_gates` with a temperature, straight through to the relaxed Bernoulli of the same number (Maddison et al., Jang
  et al. 2017): less noise, but it extrapolates from the gradient at the chosen end, which for an op that changes an
  image much can point steadily the wrong way.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from vssl.views.ops import straight_through

# Gates this close to never or always get the gradient that they would have here: 1 / (p·(1 − p)) is not finite there.
MARGIN = 0.02


class _Choice(torch.autograd.Function):
    """`changed` where the gate is open, else `images`; the relaxed gate gets the gradient of a mixture of both.

    Written out because the sum ``where(…) + (relaxed − relaxed.detach())·(changed − images).detach()`` costs four
    passes over the images in place of one, and two more tensors to keep.
    """

    @staticmethod
    def forward(ctx, images, changed, is_open, relaxed):
        ctx.save_for_backward(images, changed, is_open)
        return torch.where(is_open.view(-1, 1, 1, 1), changed, images)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):
        images, changed, is_open = ctx.saved_tensors
        is_open = is_open.view(-1, 1, 1, 1)
        to_changed = gradient * is_open if ctx.needs_input_grad[1] else None
        to_images = gradient * ~is_open if ctx.needs_input_grad[0] else None
        flat = gradient.flatten(1)
        to_relaxed = (flat * changed.flatten(1)).sum(1) - (flat * images.flatten(1)).sum(1)
        return to_images, to_changed, None, to_relaxed


class Gates(NamedTuple):
    """Which gates are open, and the relaxed gates that carry the gradient (None when nothing is learned)."""

    open: Bool[Tensor, "batch gates"]
    relaxed: Float[Tensor, "batch gates"] | None

    def columns(self, *which: int) -> "Gates":
        """Some of the gates, as one column each."""
        index = list(which)
        return Gates(self.open[:, index], None if self.relaxed is None else self.relaxed[:, index])

    def choose(
        self, images: Float[Tensor, "batch 3 height width"], changed: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, "batch 3 height width"]:
        """Changed images where the one gate is open, the images where it is not.

        The gradient of the relaxed gate is what the change would do to the loss, to first order.
        """
        is_open = self.open[:, 0]
        if self.relaxed is None:
            return torch.where(is_open.view(-1, 1, 1, 1), changed, images)
        return _Choice.apply(images, changed, is_open, self.relaxed[:, 0])

    def step(self) -> Float[Tensor, "batch gates"] | None:
        """Zeros with the gradient of the relaxed gates; None when nothing is learned."""
        return None if self.relaxed is None else self.relaxed - self.relaxed.detach()


def sample_gates(
    uniform: Float[Tensor, "batch gates"], probability: Float[Tensor, "rows gates"], temperature: float | None = None
) -> Gates:
    """Gates from uniform numbers in [0, 1).

    Args:
        temperature: of the relaxed Bernoulli; lower has less bias and more variance. None: hard gates, no gradient.
    """
    is_open = uniform < probability
    if temperature is None or not (torch.is_grad_enabled() and probability.requires_grad):
        return Gates(is_open, None)
    inside = straight_through(probability.clamp(MARGIN, 1 - MARGIN), probability)
    logistic = torch.logit((1 - uniform).clamp(1e-6, 1 - 1e-6))
    return Gates(is_open, torch.sigmoid((torch.logit(inside) + logistic) / temperature))


def likelihood_weights(
    uniform: Float[Tensor, "batch gates"], probability: Float[Tensor, "rows gates"]
) -> Float[Tensor, " batch"]:
    """Ones whose gradient is that of the log-likelihood of the gates that were drawn (DiCE, Foerster et al. 2018).

    In a weighted mean of per-image losses they make every derivative of the loss a score-function estimate, that of
    the value of a step included: the weights are one more input of the tail.

    Args:
        uniform: the numbers that `sample_gates` got.
        probability: held `MARGIN` from 0 and 1 inside the logarithm, where single draws would outweigh all others. The
            gradient passes the hold: a gate that went that far can come back.
    """
    is_open = uniform < probability
    p = straight_through(probability.clamp(MARGIN, 1 - MARGIN), probability)
    likelihood = torch.where(is_open, p.log(), (1 - p).log()).sum(dim=1)
    return (likelihood - likelihood.detach()).exp()
