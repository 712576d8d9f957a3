"""Probes far from NYUv2: streets (CamVid, 11 classes) and one room by a Kinect (7-Scenes), 192×256 px.

    python tools/probe.py configs/probes/photos_elsewhere.py --backbone runs/NAME/backbone.safetensors

Does a policy that was learned for NYUv2 help elsewhere? It should not, much. Data: docs/photos.md.
"""

from mmengine.config import read_base

with read_base():
    from .photos import *

_size = (192, 256)  # px
_smaller = dict(type=Resize, scale=(256, 192))
_camvid = dict(type=SceneSegmentation, data_root="data/photos/camvid")
_kitchen = dict(type=NYUDepth, data_root="data/photos/kitchen")

probes = dict(
    streets=dict(
        type=SegmentationProbe,
        **{**dense, "size": _size},
        head=seg_head,
        train=dict(**_camvid, data_prefix=training, pipeline=[load, labels, _smaller, pack]),
        val=dict(**_camvid, data_prefix=validation, pipeline=[load, _smaller, labels, pack]),
    ),
    room=dict(
        type=DepthProbe,
        **{**dense, "size": _size},
        losses=[dict(type=ValidDepthLoss, power=2)],
        head=depth_head,
        train=dict(
            **_kitchen,
            data_prefix=dict(img_path="images/train", depth_map_path="annotations/train"),
            pipeline=[load, metres, _smaller, pack],
        ),
        val=dict(
            **_kitchen,
            data_prefix=dict(img_path="images/test", depth_map_path="annotations/test"),
            pipeline=[load, _smaller, metres, pack],
        ),
    ),
)
