"""The rate for the verdict on sources: three trials for each fixed recipe, one seed, validation scenes.

Command:  as in configs/scenes/mae_sources.py, then
          python tools/compare.py configs/scenes/selection_sources.py --jobs 2
Expected: docs/benchmark.md, "Which images". Both are best at 3e-3, which mae_sources.py has.
"""

from mmengine.config import read_base

with read_base():
    from .._base_.sources import *

title = "Rates for three folders, on the validation scenes"
work_dir = "runs/selection_sources"
start = dict(config="mae_start.py", label="start (MAE)")
probes = "configs/probes/scenes.py"
seeds = [10]
baseline, candidate = "fixed_b", "own_b"
_rates = {"a": 5e-4, "b": 1.5e-3, "c": 3e-3}
arms = dict(
    **{
        f"fixed_{name}": dict(config="mae_sources.py", cfg_options={**_fixed, "optimizer.lr": rate})
        for name, rate in _rates.items()
    },
    **{f"own_{name}": dict(like=f"fixed_{name}", cfg_options={"unlabeled.shares": _own}) for name in _rates},
)
