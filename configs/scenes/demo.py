"""make demo: the small form of verdict.py, on the same benchmark: two arms, three seeds, a start of half as many steps.

Command:  python tools/compare.py configs/scenes/demo.py --jobs 2
          (make demo: to take at most ten minutes on two slow x86-64 cores, rendering included, installation not)
Expected: docs/benchmark.md, "The demo"
"""

from mmengine.config import read_base

with read_base():
    from .verdict import *

title = "V-Pretraining on scenes: the demo"
work_dir = "runs/demo"
start = {**_start(_test), "budget": dict(steps=500)}
seeds = [0, 1, 2]
headroom = None
budget = dict(baseline_steps=300, clock="processor")
arms = {name: arms[name] for name in ("fixed", "vpretraining")}
