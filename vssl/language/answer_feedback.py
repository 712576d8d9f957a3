"""Feedback from questions with answers: the model's own cross-entropy of the answers. No head is fitted.

Labels enter training here alone, as in `vssl.feedback`.
"""

from collections.abc import Callable
from contextlib import nullcontext

import torch
from jaxtyping import Float, Int
from torch import Tensor

from vssl.datasets.stream import Stream
from vssl.datasets.text.answers import PADDING, Answers
from vssl.feedback import Feedback, FeedbackTask
from vssl.feedback.base import mean_over
from vssl.feedback.pool import LabeledPool, part_of
from vssl.language.causal_lm import CausalLM

IGNORED = -100


class AnswerLoss(FeedbackTask):
    """Cross-entropy of the answer's tokens after the question, the mean over all answer tokens of the batch.

    Args:
        dim: width of the hidden states; not used, since the output layer is the model's.
    """

    score_unit = "share of answer tokens"
    higher_is_better = True

    def __init__(self, dim: int):
        super().__init__()

    def loss(
        self, features: Float[Tensor, "batch length vocabulary"], labels: Int[Tensor, "batch length"]
    ) -> Float[Tensor, ""]:
        """`features` are the model's logits, `labels` the tokens that come next, `IGNORED` where they do not count."""
        total = torch.nn.functional.cross_entropy(
            features.flatten(0, 1), labels.flatten(), ignore_index=IGNORED, reduction="sum"
        )
        return mean_over(total, (labels != IGNORED).sum().float())

    def score(
        self, features: Float[Tensor, "batch length vocabulary"], labels: Int[Tensor, "batch length"]
    ) -> Float[Tensor, ""]:
        """Share of the answer's tokens that the model finds most likely."""
        counted = labels != IGNORED
        return mean_over(((features.argmax(-1) == labels) & counted).sum().float(), counted.sum().float())

    def check(self, labels: Int[Tensor, " answer"], where: str) -> None:
        if not bool((labels != PADDING).any()):
            raise ValueError(f"{where}: an answer has no tokens; give the answer as text, or another tokenizer")


class AnswerPool(LabeledPool):
    """The labeled questions of one task: the first `meta` of a seeded order give g_down, the next may check it.

    Args:
        dataset: gives (question, answer), see `vssl.datasets.text.Answers`.
        meta: how many problems.
        meta_batch_size: problems per batch on this rank.
        control: the feedback's; with ``"shuffled_labels"`` every question has another one's answer.
        heldout: how many problems the one-step probe measures on (`vssl.engine.one_step`); 0 for none.
        stream: keyword arguments of `Stream` (rank, world_size, num_workers, device).

    Raises:
        ValueError: more problems than there are.
    """

    def __init__(
        self,
        dataset: Answers,
        meta: int,
        meta_batch_size: int,
        seed: int,
        control: str | None = None,
        heldout: int = 0,
        **stream,
    ):
        if meta < 1 or heldout < 0 or meta + heldout > len(dataset):
            raise ValueError(
                f"meta={meta}, heldout={heldout}: the file has {len(dataset)} problems; give 1 to {len(dataset)} in all"
            )
        order = torch.randperm(len(dataset), generator=torch.Generator().manual_seed(0)).tolist()
        meta_indices, heldout_indices = sorted(order[:meta]), sorted(order[meta : meta + heldout])
        self.dataset, self.indices = dataset, meta_indices + heldout_indices
        self.meta = Stream(part_of(dataset, meta_indices, control, seed), meta_batch_size, seed, **stream)
        self.streams = {"meta": self.meta}
        self.heldout = part_of(dataset, heldout_indices, control, seed) if heldout else None


class AnswerFeedback(Feedback):
    """`Feedback` whose tasks ask the language model itself, without heads. Arguments are those of `Feedback` that are
    about g_down: `meta_batches` and `control`.
    """

    def __init__(
        self,
        tasks: dict[str, AnswerLoss],
        pools: dict[str, AnswerPool],
        meta_batches: int = 1,
        control: str | None = None,
        seed: int = 0,
    ):
        super().__init__(tasks, pools, meta_batches=meta_batches, control=control, seed=seed)

    @property
    def can_measure(self) -> bool:
        return True

    def fit_heads(self, backbone: CausalLM, autocast: Callable = nullcontext) -> dict[str, Tensor]:
        return {}

    def loss(self, backbone: CausalLM, name: str, images: Tensor, labels: Tensor) -> Float[Tensor, ""]:
        """L_down on a batch of questions (`images`) and answers (`labels`), with a graph to the aligned parameters."""
        return self.tasks[name].loss(*self._asked(backbone, images, labels))

    @torch.no_grad()
    def score(self, backbone: CausalLM, name: str, images: Tensor, labels: Tensor) -> Float[Tensor, ""]:
        return self.tasks[name].score(*self._asked(backbone, images, labels))

    def try_out(self, backbone: CausalLM) -> None:
        device = next(backbone.parameters()).device
        with torch.no_grad():
            for name, pool in self.pools.items():
                self.loss(backbone, name, *(entry[None].to(device) for entry in pool.dataset[pool.indices[0], 0]))

    @staticmethod
    def _asked(backbone: CausalLM, questions: Tensor, answers: Tensor) -> tuple[Tensor, Tensor]:
        ids, after = joined(questions, answers)
        with torch.no_grad():
            trunk = backbone.trunk(ids)
        return backbone.logits(backbone.tail(trunk)), after


def joined(
    questions: Int[Tensor, "batch question"], answers: Int[Tensor, "batch answer"]
) -> tuple[Int[Tensor, "batch length"], Int[Tensor, "batch length"]]:
    """(tokens, what comes next): each answer right after its question, `IGNORED` wherever no answer token comes next.

    Rows are filled up on the right with token 0, which no token that counts can see.
    """
    lengths = (questions != PADDING).sum(1), (answers != PADDING).sum(1)
    longest = int((lengths[0] + lengths[1]).max())
    ids = questions.new_zeros(len(questions), longest)
    after = torch.full_like(ids, IGNORED)
    for row, (asked, answered) in enumerate(zip(*(found.tolist() for found in lengths), strict=True)):
        ids[row, :asked] = questions[row, :asked]
        ids[row, asked : asked + answered] = answers[row, :answered]
        after[row, asked - 1 : asked + answered - 1] = answers[row, :answered]
    return ids[:, :-1], after[:, :-1]
