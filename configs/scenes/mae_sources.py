"""MAE that goes on with a stream of three folders, and finds out which of them is good for segmentation and depth.

Rollouts of 40 steps ask what more of each folder would do (docs/value.md#horizon). From then on the stream comes in the
shares that were worth most.

Command:  python tools/prepare_data.py scenes                              # data/scenes, and two other worlds:
          python tools/prepare_data.py scenes --family colours --out data/colours
          python tools/prepare_data.py scenes --family rooms --out data/rooms
          python tools/train.py configs/scenes/mae_start.py --work-dir runs/mae_start
          python tools/train.py configs/scenes/mae_sources.py --cfg-options continue_run=runs/mae_start
Expected: docs/benchmark.md, "Which images"
"""

from mmengine.config import read_base

with read_base():
    from .._base_.scenes_feedback import *
    from .mae_start import *

from vssl.datasets import UnlabeledMixture
from vssl.designers import Choice

unlabeled = dict(
    type=UnlabeledMixture,
    roots=dict(
        scenes="data/scenes/imagenet/train",
        colours="data/colours/imagenet/train",
        rooms="data/rooms/imagenet/train",
    ),
    size=48,
    shares=dict(scenes=1.0, colours=1.0, rooms=1.0),
)
designer = dict(
    type=Choice,
    options=dict(
        equal=dict(shares=dict(scenes=1.0, colours=1.0, rooms=1.0)),
        scenes=dict(shares=dict(scenes=18.0, colours=1.0, rooms=1.0)),
        colours=dict(shares=dict(scenes=1.0, colours=18.0, rooms=1.0)),
        rooms=dict(shares=dict(scenes=1.0, colours=1.0, rooms=18.0)),
    ),
)
designer_optimizer = None
optimizer.update(lr=3e-3)  # of three, the best without a designer (selection_sources.py)
budget = dict(steps=940)
value.update(
    horizon=40,  # after 20 steps the folders cannot be told apart (docs/benchmark.md)
    halvings=0,
    rollouts=1,
    burn_in=47,  # when the rate has risen
    period=940,  # once
    freeze_after=None,
)
