"""MAE goes on with a stream of three folders, of which one is good for the tasks: who finds it, at what cost?

All arms go on with the start's decoder and moments. The start was trained on the good folder alone. The rate
was chosen on the validation scenes (selection_sources.py), and so was H; everything here is rendered with other random
numbers.

Command:  python tools/prepare_data.py scenes --seed 2 --out data/benchmark
          python tools/prepare_data.py scenes --family colours --seed 2 --out data/colours_test
          python tools/prepare_data.py scenes --family rooms --seed 2 --out data/rooms_test
          python tools/compare.py configs/scenes/verdict_sources.py --jobs 2
Expected: docs/benchmark.md, "Which images"
"""

from mmengine.config import read_base

with read_base():
    from .._base_.sources import *

title = "Which of three folders?"
work_dir = "runs/verdict_sources"
start = dict(
    config="mae_start.py", label="start (MAE)", cfg_options={"unlabeled.root": "data/benchmark/imagenet/train"}
)
probes = "configs/probes/benchmark.py"
seeds = [0, 1, 2, 3, 4]
baseline, candidate, headroom = "fixed", "choice", "own"
correction = "holm"
_test = {
    "unlabeled.roots.scenes": "data/benchmark/imagenet/train",
    "unlabeled.roots.colours": "data/colours_test/imagenet/train",
    "unlabeled.roots.rooms": "data/rooms_test/imagenet/train",
}
_labels = {
    "feedback.pools.segmentation.dataset.root": "data/benchmark/ade20k",
    "feedback.pools.depth.dataset.root": "data/benchmark/nyuv2",
}
_designed = {**_test, **_labels}
arms = dict(
    fixed=dict(config="mae_sources.py", cfg_options={**_test, **_fixed}, label="all folders alike"),
    own=dict(like="fixed", cfg_options={"unlabeled.shares": _own}, label="the good folder, known beforehand"),
    choice=dict(config="mae_sources.py", cfg_options=_designed, label="V-Pretraining, choice by 40 steps"),
    one_step=dict(like="choice", cfg_options={"value.horizon": 0}, label="V-Pretraining, choice by one step"),
    random=dict(like="choice", cfg_options={"feedback.control": "random"}, label="choice by random feedback"),
)
