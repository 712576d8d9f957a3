"""Probes on the rendered scenes: segmentation, depth, linear classifier, kNN.

    python tools/probe.py configs/probes/scenes.py --backbone runs/NAME/backbone.safetensors

Expected: not yet measured. Time: not yet measured on two cores.

Nothing here is random but the head's start, and that is fixed: whole training split in every step, heads that start
from zero. Two runs on the same backbone give the same score whatever the seed.
"""

from mmengine.config import read_base  # noqa: F401  (marks this file as a pure-Python config)
from mmseg.datasets.transforms import LoadAnnotations, LoadDepthAnnotation, PackSegInputs, Resize
from mmcv.transforms import LoadImageFromFile
from torch.optim import AdamW

from vssl.probes.classification import KNNProbe, LinearProbe
from vssl.probes.datasets import NYUDepth, SceneSegmentation
from vssl.probes.depth import DepthProbe
from vssl.probes.segmentation import SegmentationProbe

# data
root = "data/scenes"
