"""Is V-Pretraining better than the default recipe at equal training time, and how much of the headroom does it get?

Command:  python tools/prepare_data.py scenes --seed 1 --out data/benchmark
          python tools/compare.py configs/scenes/verdict.py --jobs 2        (20 minutes on two cores)
Expected: docs/benchmark.md, "The verdict"
"""

from mmengine.config import read_base

with read_base():
    from .._base_.benchmark import *

title = "V-Pretraining on the embedded benchmark"
work_dir = "runs/verdict"
baseline, candidate = "fixed", "vpretraining"
budget = dict(seconds=30, clock="processor")
_designed = {**_stream, **_labels}


def _arm(name: str, label: str, **options) -> dict:
    return dict(config=f"configs/scenes/simclr_{name}.py", cfg_options={**_designed, **options}, label=label)


def _controlled(control: str, label: str) -> dict:
    return _arm("policy", label, **{"feedback.control": control})


_without_feedback = {"feedback": None, "value": None, "designer_optimizer": None}
arms = dict(
    fixed=dict(config="configs/scenes/simclr_fixed.py", cfg_options=_stream, label="default recipe"),
    oracle=dict(config="configs/scenes/simclr_fixed.py", cfg_options=_fixed(gray=0.0), label="best fixed recipe"),
    vpretraining=_arm("policy", "V-Pretraining, one policy"),
    instance=_arm("instance", "V-Pretraining, policy per image"),
    unet=_arm("unet", "V-Pretraining, U-Net mask"),
    masked=_arm("masked", "V-Pretraining, policy and mask"),
    search=_arm("search", "candidate search"),
    fixed_same_steps=dict(
        config="configs/scenes/simclr_fixed.py",
        cfg_options=_stream,
        steps_of="vpretraining",
        label="default recipe, same steps",
    ),
    frozen=dict(
        config="configs/scenes/simclr_policy.py",
        cfg_options={**_stream, **_without_feedback},
        designer_of="vpretraining",
        label="the learned policy from the start",
    ),
    negated=_controlled("negated", "negated feedback"),
    random=_controlled("random", "random feedback"),
    shuffled=_controlled("shuffled_labels", "shuffled labels"),
)
