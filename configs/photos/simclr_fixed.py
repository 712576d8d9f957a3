"""SimCLR continued with the recipe that made its start: the baseline of the SimCLR arms.

Command:  python tools/train.py configs/photos/simclr_fixed.py --cfg-options backbone.checkpoint=START
          (START: backbone.safetensors of configs/photos/simclr_start.py or mae_start.py)
Expected: not yet measured
"""

from mmengine.config import read_base

with read_base():
    from .simclr_start import *

optimizer.update(lr=5e-4)
schedule.update(head_share=0.2)  # the start comes without its head
budget = dict(steps=200)
