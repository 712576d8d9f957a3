"""Is V-Pretraining better than the default recipe at equal training time, and how much of the headroom does it get?

Command:  python tools/prepare_data.py scenes --seed 2 --out data/benchmark
          python tools/compare.py configs/scenes/verdict.py --jobs 2        (NN minutes on two cores)
Expected: docs/benchmark.md, "The verdict"
"""

from mmengine.config import read_base

with read_base():
    from .._base_.benchmark import *

title = "V-Pretraining on the embedded benchmark"
work_dir = "runs/verdict"
start = _start(_test)
probes = "configs/probes/benchmark.py"
baseline, candidate, headroom = "fixed", "vpretraining", "oracle"
budget = dict(seconds=60, clock="processor")


def _fixed(label: str, **options) -> dict:
    return dict(config="configs/scenes/simclr_fixed.py", cfg_options={**_stream(_test), **options}, label=label)


# Learning rates and designers' settings: the best of each arm's trials (selection.py); controls have the policy's.
_default = _fixed("default recipe", **{"optimizer.lr": 5e-4})


def _arm(name: str, label: str, **options) -> dict:
    options = {**_stream(_test), **_labels(_test), **options}
    return dict(config=f"configs/scenes/simclr_{name}.py", cfg_options=options, label=label)


def _controlled(control: str, label: str) -> dict:
    return _arm("policy", label, **{"feedback.control": control})


_without_feedback = {"feedback": None, "value": None, "designer_optimizer": None}
arms = dict(
    fixed=_default,
    oracle=_fixed("best fixed recipe", **_recipe(s=0.0, h=0.0, gray=0.0)),
    vpretraining=_arm("policy", "V-Pretraining, one policy"),
    instance=_arm("instance", "V-Pretraining, policy per image"),
    unet=_arm("unet", "V-Pretraining, U-Net mask"),
    masked=_arm("masked", "V-Pretraining, policy and mask"),
    search=_arm("search", "candidate search"),
    fixed_same_steps={**_default, "label": "default recipe, same steps", "steps_of": "vpretraining"},
    frozen=dict(
        config="configs/scenes/simclr_policy.py",
        cfg_options={**_stream(_test), **_without_feedback},
        designer_of="vpretraining",
        label="the learned policy from the start",
    ),
    negated=_controlled("negated", "negated feedback"),
    random=_controlled("random", "random feedback"),
    shuffled=_controlled("shuffled_labels", "shuffled labels"),
)
