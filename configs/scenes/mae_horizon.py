"""MAE whose target is chosen by what twenty steps with each do to ridge heads for segmentation and depth.

The start comes without its decoder. So the decoder first learns all targets on frozen features; then 20 steps are tried
with each, and the run goes on with the best (docs/value.md#horizon).

Command:  python tools/train.py configs/scenes/mae_horizon.py --cfg-options backbone.checkpoint=START
          (START: backbone.safetensors of configs/scenes/mae_start.py)
Expected: docs/benchmark.md, "What to predict"
"""

from mmengine.config import read_base

with read_base():
    from .._base_.scenes_feedback import *
    from .mae_start import *

from vssl.designers import Choice
from vssl.objectives.bands import Bands
from vssl.objectives.hog import HOG
from vssl.objectives.targets import Pixels

objective.update(target=[dict(type=Pixels), dict(type=Pixels, normalize=False), dict(type=Bands), dict(type=HOG)])
designer = dict(
    type=Choice,
    options=dict(
        normalised_pixels=dict(loss_weights=dict(pixels=1.0)),
        raw_pixels=dict(loss_weights=dict(raw_pixels=1.0)),
        low_bands=dict(loss_weights=dict(luma0=1.0, luma1=1.0, chroma0=1.0, chroma1=1.0)),
        high_bands=dict(loss_weights=dict(luma2=1.0, chroma2=1.0)),
        hog=dict(loss_weights=dict(hog=1.0)),
    ),
)
designer_optimizer = None
schedule.update(head_share=0.2, warmup_share=0.0)  # rollouts see the rate that the run will have
budget = dict(steps=400)
value.update(
    horizon=20,
    halvings=1,
    rollouts=1,
    burn_in=80,  # when the backbone begins to move
    period=400,  # once
    freeze_after=None,
)
