"""One stream of three worlds: what does each world's share do to the tasks of all three? One seed, validation scenes.

Command:  as in configs/scenes/mae_sources.py, then
          python tools/compare.py configs/scenes/landscape_worlds.py --jobs 2
Expected: docs/benchmark.md, "One stream, three tasks"
"""

from mmengine.config import read_base

with read_base():
    from .._base_.sources import *

title = "One stream, three worlds"
work_dir = "runs/landscape_worlds"
start = dict(
    config="mae_sources.py",
    cfg_options={**_fixed, "optimizer.lr": 1.5e-3},
    budget=dict(steps=800),
    label="start (MAE)",
)
probes = "configs/probes/three_worlds.py"
seeds = [10]
baseline, candidate = "alike", "scenes"
_alike = dict.fromkeys(_own, 1.0)
arms = dict(alike=dict(config="mae_sources.py", cfg_options=_fixed))
for _world in _own:
    arms[_world] = dict(like="alike", cfg_options={"unlabeled.shares": {**_alike, _world: 18.0}})
