"""make demo: the small form of verdict.py, on the same benchmark: two arms, three seeds.

Command:  python tools/compare.py configs/scenes/demo.py --jobs 2
          (make demo: docs/benchmark.md has what it took)
Expected: docs/benchmark.md, "The demo"
"""

from mmengine.config import read_base

with read_base():
    from .verdict import *

title = "V-Pretraining on scenes: the demo"
work_dir = "runs/demo"
seeds = [0, 1, 2]
headroom = None
budget = dict(baseline_steps=300, clock="processor")
arms = {name: arms[name] for name in ("fixed", "vpretraining")}
