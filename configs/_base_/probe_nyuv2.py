"""NYU Depth v2 for depth probes: what the presets of configs/probes/nyuv2 share.

Where a protocol leaves something open it is DINOv3's choice that stands here.
"""

from mmcv.transforms import LoadImageFromFile
from mmseg.datasets.transforms import LoadDepthAnnotation, PackSegInputs, RandomCrop, RandomFlip, RandomRotate, Resize

from vssl.probes.datasets import NYUDepth
from vssl.probes.dense.depth import DepthProbe
from vssl.probes.dense.transforms import ColorAug, NYUCrop

# --- science ----------------------------------------------------------------------------------------------------------
image, crop = (480, 640), (416, 544)  # px
metres = dict(type=LoadDepthAnnotation, depth_rescale_factor=1e-3)  # files hold millimetres
augmentations = [
    dict(type=NYUCrop),
    dict(type=RandomRotate, prob=0.5, degree=2.5, seg_pad_val=0),  # the corners have no depth
    dict(type=RandomFlip, prob=0.5),
    dict(type=RandomCrop, crop_size=crop),
    dict(type=ColorAug, prob=0.5, gamma_range=(0.9, 1.1), brightness_range=(0.75, 1.25), color_range=(0.9, 1.1)),
]

# --- data -------------------------------------------------------------------------------------------------------------
data_root = "data/nyuv2"
load, pack = dict(type=LoadImageFromFile), dict(type=PackSegInputs)
full = dict(type=Resize, scale=image[::-1])  # (width, height)
dataset = dict(type=NYUDepth, data_root=data_root)
train = dict(
    **dataset,
    data_prefix=dict(img_path="images/train", depth_map_path="annotations/train"),
    pipeline=[load, metres, full, *augmentations, pack],
)
val = dict(
    **dataset,
    data_prefix=dict(img_path="images/test", depth_map_path="annotations/test"),
    pipeline=[load, full, metres, pack],
)

# --- efficiency: no effect on the score -------------------------------------------------------------------------------
efficiency = dict(num_workers=4, batch_size=4)

nyuv2 = dict(
    type=DepthProbe,
    train=train,
    val=val,
    size=crop,
    min_depth=1e-3,
    max_depth=10.0,
    eigen_crop=True,
    open_range=True,
    inference=dict(mode="whole", flip=True),
    path="runner",
    **efficiency,
)
