"""The start of the benchmark: SimCLR from scratch with MoCo v2's recipe, which the arms then continue or change.

Command:  python tools/train.py configs/scenes/simclr_start.py
Expected: docs/benchmark.md
"""

from mmengine.config import read_base

with read_base():
    from .simclr_fixed import *

schedule.update(head_share=0.0)
budget = dict(steps=1000)
