"""configs/scenes/verdict.py at 224 px: every arm of it, three seeds, ViT-S/16, bf16, compiled, for one GPU.

Command:  python tools/prepare_data.py scenes --size 224 --seed 1 --counts imagenet_train=16000 --out data/scenes224
          python tools/compare.py configs/scenes224/verdict.py
Expected: not run: no GPU at hand. docs/benchmark_224.md says how the hour was reckoned, and keeps the table
"""

from mmengine.config import read_base

with read_base():
    from .._base_.benchmark_224 import *
    from ..scenes.verdict import arms, baseline, candidate, correction

title = "V-Pretraining on rendered scenes at 224 px"
work_dir = "runs/verdict224"
budget = dict(baseline_steps=500)
arms = {**arms, "fixed": dict(config="simclr_fixed.py", label="default recipe")}  # its learning rate is the config's
