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
    config="dino_fixed.py",
    cfg_options={"backbone.checkpoint": "runs/mae_start/backbone.safetensors", "schedule.head_share": 0.999},
    budget=dict(steps=300),
    label="start (MAE, and DINO's head)",
)
probes = "configs/probes/scenes.py"
baseline, candidate = "default", "no_colour"
seeds = [0, 1]
correction = None
budget = dict(steps=300)
_colour = dict(brightness=0.0, contrast=0.0, saturation=0.2, hue=0.1, p=0.8)
_calm = {"recipe.jitter": _light, "recipe.grayscale": 0.0}
_clean = {"recipe.jitter": None, "recipe.grayscale": 0.0, "recipe.blur": None, "recipe.solarize": None}
_no_local = {"recipe.n_local": 0, "objective.n_local_crops": 0}
_no_blur = {"recipe.blur": None, "recipe.solarize": None}
_still_teacher = {"objective.teacher_momentum_start": 0.999}
arms = dict(
    default=dict(config="dino_fixed.py", continues="run"),
    no_colour=dict(like="default", cfg_options=_calm),
    no_gray=dict(like="default", cfg_options={"recipe.grayscale": 0.0}),
    no_blur=dict(like="default", cfg_options=_no_blur),
    no_colour_no_blur=dict(like="default", cfg_options={**_calm, **_no_blur}),
    crop_alone=dict(like="default", cfg_options=_clean),
    crop_mild=dict(like="default", cfg_options={"recipe.global_scale": (0.6, 1.0)}),
    crop_alone_mild=dict(like="crop_alone", cfg_options={"recipe.global_scale": (0.6, 1.0)}),
    colour_alone=dict(like="default", cfg_options={"recipe.jitter": _colour, "recipe.grayscale": 0.2, **_no_blur}),
    local_large=dict(like="default", cfg_options={"recipe.local_scale": (0.2, 0.5)}),
    no_local=dict(like="default", cfg_options=_no_local),
    no_local_clean=dict(like="no_local", cfg_options=_clean),
    still_teacher=dict(like="default", cfg_options=_still_teacher),
    still_teacher_clean=dict(like="still_teacher", cfg_options=_clean),
    third_of_rate=dict(like="default", cfg_options={"optimizer.lr": 3e-4}),
    tenth_of_rate=dict(like="default", cfg_options={"optimizer.lr": 1e-4}),
)
