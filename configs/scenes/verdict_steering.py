"""One stream of three worlds, three sets of labels, one config: does each take the folder that is good for its tasks?

The labels of `mixed`, of `colours` or of `rooms` give feedback, and every run is scored in all three worlds. The start
saw all of them alike, and MAE goes on with its decoder and moments. Rate and H are those of verdict_sources.py. Every
scene is rendered with other random numbers than those on which settings were chosen.

Command:  python tools/prepare_data.py scenes --seed 2 --out data/benchmark
          python tools/prepare_data.py scenes --family colours --seed 2 --out data/colours_test
          python tools/prepare_data.py scenes --family rooms --seed 2 --out data/rooms_test
          python tools/compare.py configs/scenes/verdict_steering.py --jobs 2
Expected: docs/benchmark.md, "One stream, three tasks"
"""

from mmengine.config import read_base

with read_base():
    from .._base_.sources import *

title = "One stream, three tasks"
work_dir = "runs/verdict_steering"
_roots = dict(scenes="data/benchmark", colours="data/colours_test", rooms="data/rooms_test")
_test = {f"unlabeled.roots.{name}": f"{root}/imagenet/train" for name, root in _roots.items()}
start = dict(
    config="mae_sources.py",
    cfg_options={**_test, **_fixed, "optimizer.lr": 1.5e-3},
    budget=dict(steps=800),
    label="start (MAE)",
)
probes = "configs/probes/three_worlds_test.py"
seeds = [0, 1, 2, 3, 4]
baseline, candidate = "alike", "for_mixed"
correction = "holm"
arms = dict(alike=dict(config="mae_sources.py", cfg_options={**_test, **_fixed}, label="all folders alike"))
# Arms that differ in labels or in shares alone cost the same: they take the steps of the one that is measured.
for _name, _world in (("scenes", "mixed"), ("colours", "colours"), ("rooms", "rooms")):
    _labels = {
        "feedback.pools.segmentation.dataset.root": f"{_roots[_name]}/ade20k",
        "feedback.pools.depth.dataset.root": f"{_roots[_name]}/nyuv2",
    }
    arms[f"for_{_world}"] = dict(
        config="mae_sources.py",
        cfg_options={**_test, **_labels},
        label=f"V-Pretraining, labels of {_world}",
        **({} if _world == "mixed" else dict(steps_of="for_mixed")),
    )
    arms[_world] = dict(
        like="alike",
        cfg_options={"unlabeled.shares": {**dict.fromkeys(_roots, 1.0), _name: 18.0}},
        steps_of="alike",
        label=f"nine tenths {_world}",
    )
