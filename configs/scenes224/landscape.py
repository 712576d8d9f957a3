"""configs/scenes/landscape.py at 224 px: which fixed construction is best, equally many steps, no designer.

Command:  python tools/prepare_data.py scenes --size 224 --seed 1 --counts imagenet_train=16000 --out data/scenes224
          python tools/compare.py configs/scenes224/landscape.py
Expected: not run: no GPU at hand (docs/benchmark_224.md)
"""

from mmengine.config import read_base

with read_base():
    from .._base_.benchmark_224 import *
    from ..scenes.landscape import arms, baseline, candidate, correction

title = "The landscape of fixed constructions at 224 px"
work_dir = "runs/landscape224"
budget = dict(steps=400)
