"""Probes on the rendered scenes: segmentation, depth, linear classifier, kNN.

    python tools/probe.py configs/probes/scenes.py --backbone runs/NAME/backbone.safetensors

Expected on scenes of seed 0 (width 64, 4 blocks, patch 4): random weights (--random 0) mIoU 54.4, RMSE 0.629 m, top-1
53.7, kNN 41.2; configs/scenes/mae_start.py (seed 0) 71.9, 0.428, 90.7, 68.7. Beside other jobs the first backbone of a
process takes 40 s, decoding the images included.

Linear heads are solved over the whole training split from zero (L-BFGS): a score does not depend on the seed.
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
size = 32  # px
solve = dict(type=FullBatch, iterations=200, l2=1e-4)
dense = dict(
    size=(size, size),
    layers="last",
    final_norm=True,
    schedule=solve,
)
folder = dict(size=size, pool="avg", final_norm=True, limit=2000)

# --- data -------------------------------------------------------------------------------------------------------------
data_root = "data/scenes"
load, resize, pack = dict(type=LoadImageFromFile), dict(type=Resize, scale=(size, size)), dict(type=PackSegInputs)
labels, metres = dict(type=LoadAnnotations), dict(type=LoadDepthAnnotation, depth_rescale_factor=1e-3)
ade20k = dict(type=SceneSegmentation, data_root=f"{data_root}/ade20k")
nyuv2 = dict(type=NYUDepth, data_root=f"{data_root}/nyuv2")

probes = dict(
    segmentation=dict(
        type=SegmentationProbe,
        **dense,
        head=dict(init_std=0.0, label_stride=3),
        train=dict(
            **ade20k,
            data_prefix=dict(img_path="images/training", seg_map_path="annotations/training"),
            pipeline=[load, labels, resize, pack],
        ),
        # labels are loaded after the resize, so that the score is at the label files' resolution
        val=dict(
            **ade20k,
            data_prefix=dict(img_path="images/validation", seg_map_path="annotations/validation"),
            pipeline=[load, resize, labels, pack],
        ),
    ),
    depth=dict(
        type=DepthProbe,
        **dense,
        losses=[dict(type=ValidDepthLoss, power=2)],
        max_depth=20.0,
        head=dict(init_std=0.0, label_stride=3, init_depth=3.0),
        train=dict(
            **nyuv2,
            data_prefix=dict(img_path="images/train", depth_map_path="annotations/train"),
            pipeline=[load, metres, resize, pack],
        ),
        val=dict(
            **nyuv2,
            data_prefix=dict(img_path="images/test", depth_map_path="annotations/test"),
            pipeline=[load, resize, metres, pack],
        ),
    ),
    classification=dict(
        type=LinearProbe,
        **folder,
        train=f"{data_root}/imagenet/train",
        val=f"{data_root}/imagenet/val",
        data_root=data_root,
        schedule=solve,
        init_std=0.0,
    ),
    knn=dict(
        type=KNNProbe,
        **folder,
        train=f"{data_root}/imagenet/train",
        val=f"{data_root}/imagenet/val",
        data_root=data_root,
        k=[20, 10],
        temperature=0.07,
    ),
)
