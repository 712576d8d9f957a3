"""The start checkpoint of the study at 224 px: SimCLR from scratch with the default recipe, as at 32 px.

Command:  python tools/train.py configs/scenes224/simclr_start.py
          (a checkpoint of your own instead: start=dict(backbone=FILE) in verdict.py, or backbone.pretrained=True here)
Expected: not run: no GPU at hand
"""

from mmengine.config import read_base

with read_base():
    from .simclr_fixed import *

schedule.update(head_share=0.0)
budget = dict(steps=500)
