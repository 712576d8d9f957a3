"""Designers of text: what shall be predicted, and how much each token counts. They see the learner, never a label."""

import math
from dataclasses import replace

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from vssl.designers.base import Construction, Designer
from vssl.draws import Draws
from vssl.language.causal_lm import CausalLM
from vssl.language.token_views import NextTokens, TokenViews


class TextDesigner(Designer):
    """Base class: it looks at what the learner itself would predict.

    The learner is the one that is trained, at its present weights; it gets no gradient from here and its mode stays as
    it is. That costs one forward pass of the learner a batch, which a run pays out of its budget.

    Args:
        candidates: how many tokens beside the true one may be predicted: those that the learner finds most likely.

    Raises:
        ValueError: `candidates` below 1.
    """

    def __init__(self, recipe: NextTokens, candidates: int = 8):
        super().__init__(recipe)
        if candidates < 1:
            raise ValueError(f"{type(self).__name__} candidates={candidates}: give 1 or more")
        self.candidates = candidates
        self._student: tuple[CausalLM, ...] = ()

    def attach(self, learner: nn.Module) -> None:
        # in a tuple: its weights are not the designer's
        self._student = (learner.student,)  # type: ignore[assignment]  # a CausalLM

    def check(self, objective: nn.Module) -> None:
        student = self._attached()
        if self.candidates >= student.vocabulary:
            raise ValueError(
                f"{type(self).__name__} candidates={self.candidates}: the vocabulary has {student.vocabulary} tokens; "
                "give fewer"
            )

    @torch.no_grad()
    def predict(
        self, tokens: Int[Tensor, "batch length_and_one"]
    ) -> tuple[Float[Tensor, "batch length dim"], Int[Tensor, "batch length c"], Float[Tensor, "batch length c"]]:
        """(hidden states, candidates, log probabilities): the true token first, then the learner's favourite others."""
        student = self._attached()
        training = student.training
        student.eval()
        try:
            hidden = student(tokens[:, :-1])
            said = student.logits(hidden).log_softmax(-1)
        finally:
            student.train(training)
        true = tokens[:, 1:].unsqueeze(-1)
        found = said.scatter(-1, true, torch.inf).topk(self.candidates + 1, dim=-1).indices
        return hidden.float(), found, said.gather(-1, found)

    def _attached(self) -> CausalLM:
        if not self._student:
            raise RuntimeError(f"{type(self).__name__} was not given a learner: call attach(learner) first")
        return self._student[0]


class SoftTargets(TextDesigner):
    """A small network on the learner's hidden states moves mass from the true token to the learner's other favourites.

    targets = (1 − m)·one-hot + m·q. The moved mass m is in [0, `most`]; q is a softmax over the candidates beside the
    true token, whose scores start as the learner's own log probabilities. The last layer is zero at the start, so m is
    0 there: next-token prediction, to the last bit. m is cut off at 0 with its gradient passed on: it can leave 0.

    Args:
        dim: width of the learner's hidden states.
        candidates: see `TextDesigner`.
        hidden_dim: width of the network.
        most: largest mass that may be moved, in (0, 1].
        divergence: weight of the mean moved mass in the penalty, 0 or more.

    Raises:
        ValueError: a number outside its range.
    """

    def __init__(
        self,
        recipe: NextTokens,
        dim: int,
        candidates: int = 8,
        hidden_dim: int = 64,
        most: float = 0.9,
        divergence: float = 0.0,
    ):
        super().__init__(recipe, candidates)
        if not 0 < most <= 1 or not divergence >= 0:
            raise ValueError(f"SoftTargets: most={most} must be in (0, 1] and divergence={divergence} 0 or more")
        self.most, self.divergence = most, divergence
        self.width, self.network = dim, _network(dim + candidates + 1, hidden_dim, 1 + candidates)

    def forward(self, tokens: Int[Tensor, "batch length_and_one"], draws: Draws) -> Construction:
        hidden, candidates, said = self.predict(tokens)
        made = self.network(torch.cat([hidden, said], dim=-1))
        wanted = made[..., 0].tanh()
        cut = wanted.clamp(min=0.0)
        moved = self.most * (wanted + (cut - wanted).detach())
        others = (said[..., 1:] + made[..., 1:]).softmax(-1)
        targets = torch.cat([(1 - moved).unsqueeze(-1), moved.unsqueeze(-1) * others], dim=-1)
        views = replace(self.recipe(tokens, draws), candidates=candidates, targets=targets)
        penalty = self.divergence * moved.mean()
        moves = moved.detach()
        return Construction(
            views, penalty, {"targets/moved": moves.mean(), "targets/share_moved": (moves > 0).float().mean()}
        )

    def check(self, objective: nn.Module) -> None:
        super().check(objective)
        _check_width(self, self._attached())


class TokenWeights(TextDesigner):
    """A small network on the learner's hidden states says how much each token counts in the loss.

    A weight is `bound` to the power of tanh(network), which is 1 at the start: next-token prediction, to the last bit.
    Its derivative is the token's credit less that of the mean token (`vssl.value.credit`).

    Args:
        dim: width of the learner's hidden states.
        candidates: how many of the learner's other favourites the network sees the probabilities of.
        hidden_dim: width of the network.
        bound: weights stay in [1/bound, bound], above 1.

    Raises:
        ValueError: a number outside its range.
    """

    def __init__(self, recipe: NextTokens, dim: int, candidates: int = 8, hidden_dim: int = 64, bound: float = 10.0):
        super().__init__(recipe, candidates)
        self.limit = _checked_limit(self, bound)
        self.width, self.network = dim, _network(dim + candidates + 1, hidden_dim, 1)

    def forward(self, tokens: Int[Tensor, "batch length_and_one"], draws: Draws) -> Construction:
        hidden, _, said = self.predict(tokens)
        made = self.network(torch.cat([hidden, said], dim=-1))[..., 0]
        return _weighted(self.recipe(tokens, draws), self.limit * made.tanh())

    def check(self, objective: nn.Module) -> None:
        super().check(objective)
        _check_width(self, self._attached())


class WordWeights(Designer):
    """One number for each word of the vocabulary says how much the prediction right after this word counts.

    It does not look at the learner, so that a learner step costs next to nothing more. A weight is `bound` to the power
    of tanh(φ_word), which is 1 at the start. It depends on what has been read and not on what comes next: the
    best prediction is the same as without weights. Weights of the word to be predicted would teach wrong odds.

    Args:
        words: size of the learner's vocabulary.
        bound: weights stay in [1/bound, bound], above 1.

    Raises:
        ValueError: a number outside its range.
    """

    def __init__(self, recipe: NextTokens, words: int, bound: float = 10.0):
        super().__init__(recipe)
        if words < 1:
            raise ValueError(f"WordWeights words={words}: give the size of the vocabulary")
        self.limit = _checked_limit(self, bound)
        self.phi = nn.Parameter(torch.zeros(words))
        self._vocabulary = words

    def attach(self, learner: nn.Module) -> None:
        self._vocabulary = learner.student.vocabulary  # type: ignore[assignment]  # a CausalLM's

    def check(self, objective: nn.Module) -> None:
        if len(self.phi) != self._vocabulary:
            raise ValueError(
                f"WordWeights words={len(self.phi)}, but the learner's vocabulary has {self._vocabulary}; give "
                f"words={self._vocabulary}"
            )

    def forward(self, tokens: Int[Tensor, "batch length_and_one"], draws: Draws) -> Construction:
        return _weighted(self.recipe(tokens, draws), self.limit * self.phi[tokens[:, :-1]].tanh())


class UniformSmoothing(TextDesigner):
    """Control: a fixed mass goes from the true token to the learner's other favourites, to all of them alike.

    Args:
        mass: how much, in (0, 1).
    """

    def __init__(self, recipe: NextTokens, candidates: int = 8, mass: float = 0.1):
        super().__init__(recipe, candidates)
        self.mass = _checked_mass(self, mass)

    def forward(self, tokens: Int[Tensor, "batch length_and_one"], draws: Draws) -> Construction:
        _, candidates, said = self.predict(tokens)
        targets = torch.full_like(said, self.mass / self.candidates)
        targets[..., 0] = 1 - self.mass
        views = replace(self.recipe(tokens, draws), candidates=candidates, targets=targets)
        return Construction(views, targets.new_zeros(()))


class SelfDistillation(TextDesigner):
    """Control: targets are part one-hot, part the learner's own prediction over the true token and its favourites.

    Args:
        mass: the second part, in (0, 1).
    """

    def __init__(self, recipe: NextTokens, candidates: int = 8, mass: float = 0.1):
        super().__init__(recipe, candidates)
        self.mass = _checked_mass(self, mass)

    def forward(self, tokens: Int[Tensor, "batch length_and_one"], draws: Draws) -> Construction:
        _, candidates, said = self.predict(tokens)
        targets = self.mass * said.softmax(-1)
        targets[..., 0] += 1 - self.mass
        views = replace(self.recipe(tokens, draws), candidates=candidates, targets=targets)
        return Construction(views, targets.new_zeros(()))


def _weighted(views: TokenViews, logs: Float[Tensor, "batch length"]) -> Construction:
    said = logs.detach()
    return Construction(
        replace(views, token_weights=logs.exp()),
        logs.new_zeros(()),
        {"token_weight/mean_log": said.mean(), "token_weight/std_log": said.std()},
    )


def _checked_limit(designer: Designer, bound: float) -> float:
    if not bound > 1:
        raise ValueError(f"{type(designer).__name__} bound={bound} must be above 1")
    return math.log(bound)


def _network(inputs: int, width: int, outputs: int) -> nn.Sequential:
    """Smooth, and zero at the start."""
    network = nn.Sequential(nn.LayerNorm(inputs), nn.Linear(inputs, width), nn.GELU(), nn.Linear(width, outputs))
    nn.init.zeros_(network[-1].weight)
    nn.init.zeros_(network[-1].bias)
    return network


def _check_width(designer: SoftTargets | TokenWeights, student: CausalLM) -> None:
    expected = designer.width
    if expected != student.embed_dim:
        raise ValueError(
            f"{type(designer).__name__} dim={expected}, but the learner's hidden states have {student.embed_dim}; give "
            f"dim={student.embed_dim}"
        )


def _checked_mass(designer: TextDesigner, mass: float) -> float:
    if not 0 < mass < 1:
        raise ValueError(f"{type(designer).__name__} mass={mass} must be above 0 and below 1")
    return mass
