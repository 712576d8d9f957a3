"""Language: a causal language model as the learner, next-token prediction with targets that a designer shapes.

The loop, the value, the estimators and the comparisons are those of images. `vssl.language.pass_at_1` scores the
result; it is not imported here, since training does without.
"""

from vssl.language.answer_feedback import AnswerFeedback, AnswerLoss, AnswerPool
from vssl.language.causal_lm import CausalLM, load_causal_lm
from vssl.language.designers import (
    SelfDistillation,
    SoftTargets,
    TextDesigner,
    TokenWeights,
    UniformSmoothing,
    WordWeights,
)
from vssl.language.objective import NextToken
from vssl.language.token_views import NextTokens, TokenViews

__all__ = [
    "AnswerFeedback",
    "AnswerLoss",
    "AnswerPool",
    "CausalLM",
    "NextToken",
    "NextTokens",
    "SelfDistillation",
    "SoftTargets",
    "TextDesigner",
    "TokenViews",
    "TokenWeights",
    "UniformSmoothing",
    "WordWeights",
    "load_causal_lm",
]
