"""Settings for the verdict on sources: three trials an arm, one seed, validation scenes.

Command:  as in configs/scenes/mae_sources.py, then
          python tools/compare.py configs/scenes/selection_sources.py --jobs 2
Expected: docs/benchmark.md, "Which images". Chosen is the trial with the largest mean relative gain over the start, of
mIoU and of depth RMSE; verdict_sources.py has the choice.
"""

from mmengine.config import read_base

with read_base():
    from .._base_.sources import *

title = "Settings of the arms that choose among sources, on the validation scenes"
work_dir = "runs/selection_sources"
start = dict(config="mae_start.py", label="start (MAE)")
probes = "configs/probes/scenes.py"
seeds = [10]
baseline, candidate = "fixed_b", "choice_b"
_rates = {"a": 5e-4, "b": 1.5e-3, "c": 3e-3}
arms = dict(
    **{
        f"fixed_{name}": dict(config="mae_sources.py", cfg_options={**_fixed, "optimizer.lr": rate})
        for name, rate in _rates.items()
    },
    **{f"own_{name}": dict(like=f"fixed_{name}", cfg_options={"unlabeled.shares": _own}) for name in _rates},
    choice_a=dict(config="mae_sources.py", cfg_options={"value.horizon": 20}),
    choice_b=dict(like="choice_a", cfg_options={"value.horizon": 40}),
    choice_c=dict(like="choice_a", cfg_options={"value.horizon": 80}),
    weights_a=dict(config="mae_sources.py", cfg_options=_credit),
    weights_b=dict(like="weights_a", cfg_options={"backbone.aligned_blocks": 4}),
    weights_c=dict(like="weights_a", cfg_options={"designer_optimizer": dict(type=AdamW, lr=0.03, weight_decay=0.0)}),
)
