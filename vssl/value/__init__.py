"""The value of an update: rules, task combination, meta-gradient estimators, one-step prediction. Pure tensors."""

from vssl.value.combine import GradientAverage, PCGrad, UnitNorm, WeightedSum
from vssl.value.credit import credit
from vssl.value.metagradient import (
    MetaGradient,
    central_difference,
    double_backward,
    forward_difference,
    functional_components,
    functional_tail,
    parameter_gradient,
)
from vssl.value.prediction import adam_update, predicted_drop, sgd_update
from vssl.value.products import cosine, dot, norm
from vssl.value.rules import Adam, AdamPreconditioner, Bound, Cosine, Dot, NormGrowth, Rule, Valued

__all__ = [
    "Adam",
    "AdamPreconditioner",
    "Bound",
    "Cosine",
    "Dot",
    "GradientAverage",
    "MetaGradient",
    "NormGrowth",
    "PCGrad",
    "Rule",
    "UnitNorm",
    "Valued",
    "WeightedSum",
    "adam_update",
    "central_difference",
    "cosine",
    "credit",
    "dot",
    "double_backward",
    "forward_difference",
    "functional_components",
    "functional_tail",
    "norm",
    "parameter_gradient",
    "predicted_drop",
    "sgd_update",
]
