"""Feedback: downstream tasks that value a step. The only room at training time that sees labels."""

from vssl.feedback.feedback import Feedback
from vssl.feedback.pool import Pool
from vssl.feedback.tasks import Depth, Segmentation

__all__ = ["Depth", "Feedback", "Pool", "Segmentation"]
