"""Which fixed construction of MAE is best from MAE's own start? Sixteen, equally many steps, no designer.

Each arm goes on with the start's decoder and moments (docs/continuing.md), so none has a new decoder to train.

Command:  python tools/prepare_data.py scenes
          python tools/compare.py configs/scenes/landscape_mae.py --jobs 2
Expected: docs/benchmark.md, "MAE's landscape"
"""

from mmengine.config import read_base

with read_base():
    from .._base_.benchmark import *

title = "The landscape of MAE's constructions"
work_dir = "runs/landscape_mae"
start = dict(config="configs/scenes/mae_start.py", cfg_options=_stream(_validation), label="start (MAE)")
probes = "configs/probes/scenes.py"
baseline, candidate = "default", "mask_75"
seeds = [0, 1]
correction = None
budget = dict(steps=470)
_light = dict(brightness=0.4, contrast=0.4, saturation=0.0, hue=0.0, p=0.8)
_colour = dict(brightness=0.0, contrast=0.0, saturation=0.4, hue=0.1, p=0.8)
_constructions = dict(
    default={},
    mask_30={"objective.mask_ratio": 0.3},
    mask_45={"objective.mask_ratio": 0.45},
    mask_75={"objective.mask_ratio": 0.75},
    mask_85={"objective.mask_ratio": 0.85},
    mask_90={"objective.mask_ratio": 0.9},
    no_crop={"recipe.global_scale": (1.0, 1.0), "recipe.ratio": (1.0, 1.0)},
    crop_mild={"recipe.global_scale": (0.7, 1.0)},
    crop_strong={"recipe.global_scale": (0.1, 1.0)},
    crop_small={"recipe.global_scale": (0.1, 0.5)},
    light={"recipe.jitter": _light},
    colour={"recipe.jitter": _colour},
    gray={"recipe.grayscale": 0.5},
    no_flip={"recipe.flip": 0.0},
    mask_75_no_crop={"objective.mask_ratio": 0.75, "recipe.global_scale": (1.0, 1.0), "recipe.ratio": (1.0, 1.0)},
    mask_75_crop_strong={"objective.mask_ratio": 0.75, "recipe.global_scale": (0.1, 1.0)},
)
arms = {
    name: dict(config="configs/scenes/mae_start.py", cfg_options={**_stream(_validation), **options}, continues="run")
    for name, options in _constructions.items()
}
