"""Soft targets steered by GSM8K's answers; see qwen.py."""

from torch.optim import AdamW

from vssl.datasets.text import Answers
from vssl.language import AnswerFeedback, AnswerLoss, AnswerPool, SoftTargets
from vssl.value import Cosine, UnitNorm, central_difference

designer = dict(type=SoftTargets, dim=1024, candidates=16, hidden_dim=256)
feedback = dict(
    type=AnswerFeedback,
    tasks=dict(gsm8k=dict(type=AnswerLoss)),
    pools=dict(
        gsm8k=dict(
            type=AnswerPool,
            dataset=dict(
                type=Answers,
                root="data/gsm8k/train.jsonl",
                tokenizer="data/qwen1.5-0.5b",
                prompt="Question: {question}\nAnswer:\n",
            ),
            meta=897,
            meta_batch_size=16,
        )
    ),
    meta_batches=2,
    control=None,
)
value = dict(
    rule=dict(type=Cosine),
    combine=dict(type=UnitNorm, weights=dict(gsm8k=1.0)),
    estimator=dict(type=central_difference),
    period=4,
    batch_size=4,
)
designer_optimizer = dict(type=AdamW, lr=1e-3, weight_decay=0.0)
