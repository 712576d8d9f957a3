"""Which fixed construction of DINO is best from the strongest start, MAE's? Sixteen, equally many steps, no designer.

The start has MAE's backbone, untouched, and a DINO head that learned alone on it, so no arm has a new head to train.

Command:  python tools/prepare_data.py scenes
          python tools/train.py configs/scenes/mae_start.py --work-dir runs/mae_start
          python tools/compare.py configs/scenes/landscape_dino.py --jobs 2
Expected: docs/benchmark.md, "DINO's landscape"
"""

from mmengine.config import read_base

with read_base():
    from .._base_.benchmark import *

title = "The landscape of DINO's constructions"
work_dir = "runs/landscape_dino"
start = dict(
    config="configs/scenes/dino_fixed.py",
    cfg_options={
        **_stream(_validation),
        "backbone.checkpoint": "runs/mae_start/backbone.safetensors",
        "schedule.head_share": 0.999,
    },
    budget=dict(steps=300),
    label="start (MAE, and DINO's head)",
)
probes = "configs/probes/scenes.py"
baseline, candidate = "default", "no_colour"
seeds = [0, 1]
correction = None
budget = dict(steps=300)
_light = dict(brightness=0.4, contrast=0.4, saturation=0.0, hue=0.0, p=0.8)
_colour = dict(brightness=0.0, contrast=0.0, saturation=0.2, hue=0.1, p=0.8)
_no_colour = {"recipe.jitter": _light, "recipe.grayscale": 0.0}
_clean = {"recipe.jitter": None, "recipe.grayscale": 0.0, "recipe.blur": None, "recipe.solarize": None}
_no_local = {"recipe.n_local": 0, "objective.n_local_crops": 0}
_constructions = dict(
    default={},
    no_colour=_no_colour,
    no_gray={"recipe.grayscale": 0.0},
    no_blur={"recipe.blur": None, "recipe.solarize": None},
    no_colour_no_blur={**_no_colour, "recipe.blur": None, "recipe.solarize": None},
    crop_alone=_clean,
    crop_mild={"recipe.global_scale": (0.6, 1.0)},
    crop_alone_mild={**_clean, "recipe.global_scale": (0.6, 1.0)},
    colour_alone={"recipe.jitter": _colour, "recipe.grayscale": 0.2, "recipe.blur": None, "recipe.solarize": None},
    local_large={"recipe.local_scale": (0.2, 0.5)},
    no_local=_no_local,
    no_local_clean={**_no_local, **_clean},
    still_teacher={"objective.teacher_momentum_start": 0.999},
    still_teacher_clean={"objective.teacher_momentum_start": 0.999, **_clean},
    third_of_rate={"optimizer.lr": 3e-4},
    tenth_of_rate={"optimizer.lr": 1e-4},
)
arms = {
    name: dict(config="configs/scenes/dino_fixed.py", cfg_options={**_stream(_validation), **options}, continues="run")
    for name, options in _constructions.items()
}
