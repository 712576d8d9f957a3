"""More ways to judge a backbone, on the rendered scenes.

    python tools/prepare_data.py scenes
    python tools/prepare_data.py scenes_pairs
    python tools/probe.py configs/probes/scenes_more.py --backbone runs/NAME/backbone.safetensors --seeds 0 1 2

Expected: docs/probes.md, "More ways to judge a backbone".
"""

from mmengine.config import read_base

with read_base():
    from .scenes import *

from torch.optim import AdamW

from vssl.datasets.keypoint_pairs import KeypointPairs
from vssl.probes.dense.correspondence import CorrespondenceProbe
from vssl.probes.dense.in_context import InContextDepthProbe, InContextSegmentationProbe
from vssl.probes.image.attentive import AttentiveProbe
from vssl.probes.image.low_shot import LowShotProbe

# --- science ----------------------------------------------------------------------------------------------------------
look = dict(size=(size, size), layers="last", final_norm=True)
neighbours = dict(k=30, temperature=0.02)
corruptions = dict(severities=[1, 3, 5])

# --- data: that of scenes.py ------------------------------------------------------------------------------------------
seg_data = dict(train=probes["segmentation"]["train"], val=probes["segmentation"]["val"])
images = dict(train=f"{data_root}/imagenet/train", val=f"{data_root}/imagenet/val", data_root=data_root, size=size)
depth_data = dict(train=probes["depth"]["train"], val=probes["depth"]["val"])

probes = dict(
    segmentation_corrupted=dict(**probes["segmentation"], corruptions=corruptions),
    depth_corrupted=dict(**probes["depth"], corruptions=corruptions),
    classification_corrupted=dict(**probes["classification"], corruptions=corruptions),
    in_context_segmentation=dict(type=InContextSegmentationProbe, **look, **neighbours, **seg_data),
    in_context_segmentation_small=dict(
        type=InContextSegmentationProbe, **look, **neighbours, **seg_data, memory=4800, pictures=0
    ),
    in_context_depth=dict(type=InContextDepthProbe, **look, **neighbours, **depth_data, max_depth=20.0),
    low_shot=dict(type=LowShotProbe, **images, shots=[1, 5, 25], draws=5, k=20),
    attentive=dict(
        type=AttentiveProbe,
        **images,
        limit=2000,
        learning_rates=[3e-4, 1e-3, 3e-3],
        schedule=dict(optimizer=dict(type=AdamW, lr=1e-3, weight_decay=1e-3), steps=300, batch_size=200),
        augment=False,
    ),
    correspondence=dict(
        type=CorrespondenceProbe,
        dataset=dict(type=KeypointPairs, root="data/scenes_pairs"),
        **look,
        alphas=[0.1, 0.05],
    ),
)
