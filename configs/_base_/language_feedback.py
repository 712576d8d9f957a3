"""Feedback from answers of labeled problems, and the meta step that follows it."""

from torch.optim import AdamW

from vssl.datasets.text import Answers
from vssl.language import AnswerFeedback, AnswerLoss, AnswerPool
from vssl.value import Cosine, UnitNorm, forward_difference

_labeled = "data/word_problems"
feedback = dict(
    type=AnswerFeedback,
    tasks=dict(answers=dict(type=AnswerLoss)),
    pools=dict(
        answers=dict(
            type=AnswerPool,
            dataset=dict(type=Answers, root=f"{_labeled}/train.jsonl", tokenizer=f"{_labeled}/tokenizer.json"),
            meta=240,
            meta_batch_size=48,
        )
    ),
    meta_batches=1,
    control=None,
)
value = dict(
    rule=dict(type=Cosine),
    combine=dict(type=UnitNorm, weights=dict(answers=1.0)),
    estimator=dict(type=forward_difference),
    # Early, few and small, so that learning what counts leaves the learner most of its steps.
    period=4,
    g_down_every=4,
    freeze_after=72,
    batch_size=16,
)
designer_optimizer = dict(type=AdamW, lr=1e-2, weight_decay=0.0)
