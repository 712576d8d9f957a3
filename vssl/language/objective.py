"""Next-token prediction, with targets that a designer may spread over several tokens.

The language half of "Value-Based Pre-Training with Downstream Feedback" (arXiv 2601.22108): the task is what the model
is asked to predict. Without a designer that is the next token, and the loss is the model's own.
"""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from vssl.draws import Draws
from vssl.language.causal_lm import CausalLM
from vssl.language.token_views import TokenViews
from vssl.learner.teacher import EMATeacher
from vssl.objectives.base import Objective, State, mean_over_images, pack, unpack

COMPONENT = "next_token"


class NextToken(Objective):
    """Cross-entropy of the learner's prediction with the targets of the views.

    A token's loss is −Σ_k targets_k · log p(candidate_k). A window's is the mean over its tokens, weighted by
    `TokenViews.token_weights` over their mean in the batch: one for all is no weight at all. With one-hot targets and
    equal weights the loss is that of next-token prediction to the last bit.

    Args:
        backbone: not read; the output layer is the language model's.
    """

    n_global_crops = 0
    paper = "Ke and Fanti 2026, arXiv 2601.22108"
    works_on = "all tokens but the first of a window"

    @classmethod
    def small(cls, embed_dim: int) -> dict[str, Any]:
        return {}

    def __init__(self, backbone: CausalLM):
        super().__init__()
        if getattr(backbone, "reads", None) != "text":
            raise ValueError(f"NextToken needs a CausalLM as backbone, not a {type(backbone).__name__}")

    def begin(self, student: CausalLM, teacher: EMATeacher | None, views: TokenViews, draws: Draws) -> State:
        after = views.tokens[:, 1:].unsqueeze(-1)
        context = pack(student.trunk(views.tokens[:, :-1]), "context")
        certain = torch.ones_like(after, dtype=context["context.x"].dtype)
        return {
            **context,
            "candidates": after if views.candidates is None else views.candidates,
            "targets": certain if views.targets is None else views.targets,
            **({} if views.token_weights is None else {"token_weights": views.token_weights}),
        }

    def finish(self, student: CausalLM, state: State) -> Float[Tensor, ""]:
        losses = self.loss_components(student, state)[COMPONENT]
        if (weights := state.get("token_weights")) is not None:
            losses = losses * (weights / weights.mean())
        return mean_over_images(losses.mean(1), state)

    def loss_components(self, student: CausalLM, state: State) -> dict[str, Float[Tensor, "batch length"]]:
        """The loss of each token, before token weights. `vssl.value.credit` of it is the worth of the weight."""
        logits = student.logits(student.tail(unpack(state, "context")))
        said = logits.log_softmax(-1).gather(-1, state["candidates"])
        return {COMPONENT: -(state["targets"] * said).sum(-1)}

    def component_weights(self) -> Mapping[str, float]:
        return {COMPONENT: 1.0}
