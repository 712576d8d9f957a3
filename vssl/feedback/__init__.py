"""Feedback: downstream tasks that value a step. The only room at training time that sees labels."""

from vssl.feedback.base import FeedbackTask
from vssl.feedback.dense_tasks import Depth, Segmentation
from vssl.feedback.feedback import Feedback
from vssl.feedback.image_classification import ClassFolders, Classification
from vssl.feedback.normals import NormalImages, SurfaceNormals
from vssl.feedback.pool import Pool

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
