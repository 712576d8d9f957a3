"""Probes on photographs: NYUv2 in 13 and in 40 classes, its depth, Tiny ImageNet's top-1 and kNN.

    python tools/probe.py configs/probes/photos.py --backbone runs/NAME/backbone.safetensors

Whole images at 256 px on the short side (Tiny ImageNet: 64 px). Linear heads are solved over the whole training split
from zero (L-BFGS): a score does not depend on the seed. Data, expected scores and times: docs/photos.md.
"""

from mmcv.transforms import LoadImageFromFile
from mmseg.datasets.transforms import LoadAnnotations, LoadDepthAnnotation, PackSegInputs, Resize

from vssl.probes.datasets import NYUDepth, SceneSegmentation
from vssl.probes.dense.depth import DepthProbe
from vssl.probes.dense.losses import ValidDepthLoss
from vssl.probes.dense.segmentation import SegmentationProbe
from vssl.probes.fit import FullBatch
from vssl.probes.image.classification import KNNProbe, LinearProbe

# --- science ----------------------------------------------------------------------------------------------------------
height, width = 256, 336  # px; NYUv2's are 4:3, and both are multiples of the patch
solve = dict(type=FullBatch, iterations=200, l2=1e-4)
dense = dict(size=(height, width), layers="last", final_norm=True, schedule=solve)
folder = dict(size=64, pool="avg", final_norm=True, limit=8000)
seg_head = dict(init_std=0.0, label_stride=4)
depth_head = dict(init_std=0.0, label_stride=4, init_depth=3.0)

# --- data -------------------------------------------------------------------------------------------------------------
data_root = "data/photos"
load, resize, pack = dict(type=LoadImageFromFile), dict(type=Resize, scale=(width, height)), dict(type=PackSegInputs)
labels, metres = dict(type=LoadAnnotations), dict(type=LoadDepthAnnotation, depth_rescale_factor=1e-3)
nyu13 = dict(type=SceneSegmentation, data_root=f"{data_root}/nyuv2_seg13")
nyu40 = dict(type=SceneSegmentation, data_root=f"{data_root}/nyuv2_seg")
nyu_depth = dict(type=NYUDepth, data_root=f"{data_root}/nyuv2")
training = dict(img_path="images/training", seg_map_path="annotations/training")
validation = dict(img_path="images/validation", seg_map_path="annotations/validation")
tiny_imagenet = dict(
    **folder,
    train=f"{data_root}/tiny_imagenet/train",
    val=f"{data_root}/tiny_imagenet/val",
    data_root=f"{data_root}/tiny_imagenet",
)

probes = dict(
    segmentation=dict(
        type=SegmentationProbe,
        **dense,
        head=seg_head,
        train=dict(**nyu13, data_prefix=training, pipeline=[load, labels, resize, pack]),
        # labels are loaded after the resize, so that the score is at the label files' resolution
        val=dict(**nyu13, data_prefix=validation, pipeline=[load, resize, labels, pack]),
    ),
    segmentation40=dict(
        type=SegmentationProbe,
        **dense,
        head=seg_head,
        train=dict(**nyu40, data_prefix=training, pipeline=[load, labels, resize, pack]),
        val=dict(**nyu40, data_prefix=validation, pipeline=[load, resize, labels, pack]),
    ),
    depth=dict(
        type=DepthProbe,
        **dense,
        losses=[dict(type=ValidDepthLoss, power=2)],
        head=depth_head,
        train=dict(
            **nyu_depth,
            data_prefix=dict(img_path="images/train", depth_map_path="annotations/train"),
            pipeline=[load, metres, resize, pack],
        ),
        val=dict(
            **nyu_depth,
            data_prefix=dict(img_path="images/test", depth_map_path="annotations/test"),
            pipeline=[load, resize, metres, pack],
        ),
    ),
    classification=dict(type=LinearProbe, **tiny_imagenet, schedule=solve, init_std=0.0),
    knn=dict(type=KNNProbe, **tiny_imagenet, k=[20, 10], temperature=0.07),
)
