"""MAE that predicts bands of the cosine transform in place of pixels, with the fixed recipe on scenes.

Command:  python tools/train.py configs/scenes/mae_bands_fixed.py --cfg-options backbone.checkpoint=START
          (START: backbone.safetensors of configs/scenes/mae_start.py; without it, from scratch)
Expected: not yet measured
"""

from mmengine.config import read_base

with read_base():
    from .mae_start import *

from vssl.objectives.bands import Bands

objective.update(target=dict(type=Bands))
schedule.update(head_share=0.2)  # the start comes without its decoder
budget = dict(steps=400)
