"""The learner θ: backbone, EMA teacher, weights in and out."""

from vssl.learner.backbone import TimmBackbone, Tokens
from vssl.learner.backbone_file import export_backbone, load_backbone, open_backbone

__all__ = ["TimmBackbone", "Tokens", "export_backbone", "load_backbone", "open_backbone"]
