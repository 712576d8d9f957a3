"""MAE that goes on with a stream of four folders of photographs, and finds out which of them is good for NYUv2.

Rollouts ask what more of each folder would do (docs/value.md#horizon). From then on the stream comes in the shares that
were worth most.

Command:  python tools/train.py configs/photos/mae_sources.py --cfg-options continue_run=runs/mae_start/seed0
Data:     data/photos (docs/photos.md)
Expected: docs/photos.md
"""

from mmengine.config import read_base

with read_base():
    from .._base_.photos_feedback import *
    from .mae_start import *

from vssl.datasets import UnlabeledMixture
from vssl.designers import Choice

unlabeled = dict(
    type=UnlabeledMixture,
    roots=dict(
        nyuv2="data/photos/nyuv2/images/train",
        tiny_imagenet="data/photos/tiny_imagenet/train",
        camvid="data/photos/camvid/images/training",
        kitchen="data/photos/kitchen/images/train",
    ),
    size=64,
    shares=dict(nyuv2=1.0, tiny_imagenet=1.0, camvid=1.0, kitchen=1.0),
)
designer = dict(
    type=Choice,
    options=dict(
        alike=dict(shares=dict(nyuv2=1.0, tiny_imagenet=1.0, camvid=1.0, kitchen=1.0)),
        nyuv2=dict(shares=dict(nyuv2=27.0, tiny_imagenet=1.0, camvid=1.0, kitchen=1.0)),
        tiny_imagenet=dict(shares=dict(nyuv2=1.0, tiny_imagenet=27.0, camvid=1.0, kitchen=1.0)),
        camvid=dict(shares=dict(nyuv2=1.0, tiny_imagenet=1.0, camvid=27.0, kitchen=1.0)),
        kitchen=dict(shares=dict(nyuv2=1.0, tiny_imagenet=1.0, camvid=1.0, kitchen=27.0)),
    ),
)
designer_optimizer = None
budget = dict(steps=600)
value.update(
    horizon=40,
    halvings=0,
    rollouts=1,
    burn_in=47,
    period=600,  # once
    freeze_after=None,
)
