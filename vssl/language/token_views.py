"""What a construction of text hands to the objective: tokens, what is to be predicted, how much each counts."""

from dataclasses import dataclass, replace
from typing import ClassVar

from jaxtyping import Float, Int
from torch import Tensor, nn

from vssl.draws import Draws


@dataclass(frozen=True)
class TokenViews:
    """Windows of tokens, with the targets of each predicted token.

    Position t of `candidates`, `targets` and `token_weights` is about token t + 1 of `tokens`.

    candidates: tokens that may be predicted, all different, the true one first; None: the true one alone.
    targets: their probabilities, which add up to 1; None: one for the true token. Given exactly where candidates are.
    token_weights: how much each predicted token counts, above 0; None: all alike.
    """

    tokens: Int[Tensor, "batch length_and_one"]
    candidates: Int[Tensor, "batch length candidates"] | None = None
    targets: Float[Tensor, "batch length candidates"] | None = None
    token_weights: Float[Tensor, "batch length"] | None = None

    # Of images, which the meta step asks for: text has neither.
    local_crops: ClassVar[None] = None
    patch_scores: ClassVar[None] = None

    def detach(self) -> "TokenViews":
        """The same views without a graph: what the learner is trained on."""
        return replace(self, **{name: None if t is None else t.detach() for name, t in vars(self).items()})


class NextTokens(nn.Module):
    """The recipe of text: every token is to be predicted from those before it, as it is."""

    def forward(self, tokens: Int[Tensor, "batch length_and_one"], draws: Draws) -> TokenViews:
        return TokenViews(tokens)
