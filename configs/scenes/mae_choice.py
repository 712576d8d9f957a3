"""MAE continued with its own decoder; rollouts choose how much is hidden, and whether brightness and contrast change.

Command:  python tools/train.py configs/scenes/mae_start.py --work-dir runs/mae_start
          python tools/train.py configs/scenes/mae_choice.py --cfg-options continue_run=runs/mae_start
Expected: docs/benchmark.md, "MAE from its own start"
"""

from mmengine.config import read_base

with read_base():
    from .._base_.scenes_feedback import *
    from .mae_start import *

from vssl.designers import Choice
from vssl.views import MultiCrop

_light = dict(
    type=MultiCrop,
    global_size=32,
    n_global=1,
    global_scale=(0.4, 1.0),
    jitter=dict(brightness=0.4, contrast=0.4, saturation=0.0, hue=0.0, p=0.8),
    grayscale=0.0,
    blur=None,
)
designer = dict(
    type=Choice,
    options=dict(
        plain_60={},
        plain_75=dict(mask_ratio=0.75),
        plain_90=dict(mask_ratio=0.9),
        light_60=dict(recipe=_light),
        light_75=dict(recipe=_light, mask_ratio=0.75),
        light_90=dict(recipe=_light, mask_ratio=0.9),
    ),
)
designer_optimizer = None
budget = dict(steps=940)
value.update(
    horizon=40,  # after one step the values are the wrong way round (docs/value.md)
    halvings=1,
    rollouts=1,
    burn_in=47,  # when the rate has risen
    period=940,  # once
    freeze_after=None,
)
