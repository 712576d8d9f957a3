"""Feedback: downstream tasks that value a step. The only room at training time that sees labels."""

from vssl.feedback.classification import ClassFolders, Classification
from vssl.feedback.feedback import Feedback
from vssl.feedback.normals import NormalImages, SurfaceNormals
from vssl.feedback.pool import Pool
from vssl.feedback.task import FeedbackTask
from vssl.feedback.tasks import Depth, Segmentation

__all__ = [
    "ClassFolders",
    "Classification",
    "Depth",
    "Feedback",
    "FeedbackTask",
    "NormalImages",
    "Pool",
    "Segmentation",
    "SurfaceNormals",
]
