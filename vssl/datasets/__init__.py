"""Images from disk: the unlabeled stream, labeled images in ADE20K's and NYUv2's layouts, rendered scenes."""

from vssl.datasets.files import UnreadableImage
from vssl.datasets.joint import JointTransform, joint_transform
from vssl.datasets.labeled import AnnotatedImages, DepthImages, SegmentationImages
from vssl.datasets.mixture import UnlabeledMixture
from vssl.datasets.remote_shards import RemoteShards
from vssl.datasets.sampler import PositionSampler, disjoint_splits, third_split
from vssl.datasets.share_file import save_shares
from vssl.datasets.unlabeled import UnlabeledImages, UnlabeledShards

__all__ = [
    "AnnotatedImages",
    "DepthImages",
    "JointTransform",
    "PositionSampler",
    "RemoteShards",
    "SegmentationImages",
    "UnlabeledImages",
    "UnlabeledMixture",
    "UnlabeledShards",
    "UnreadableImage",
    "disjoint_splits",
    "joint_transform",
    "save_shares",
    "third_split",
]
