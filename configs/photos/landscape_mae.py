"""Which fixed construction of MAE is best on photographs? Twelve, from one start, equally many steps, no designer.

Command:  python tools/compare.py configs/photos/landscape_mae.py --jobs 2
Expected: not yet measured
"""

from mmengine.config import read_base

with read_base():
    from .._base_.photos_comparison import *

title = "The landscape of MAE's constructions on photographs"
work_dir = "runs/photos_landscape_mae"
start = _start("mae")
probes = "configs/probes/photos_selection.py"
baseline, candidate = "default", "crop_mild"
budget = dict(baseline_steps=300, clock="processor")
_constructions = dict(
    default={},
    no_crop={"recipe.global_scale": (1.0, 1.0), "recipe.ratio": (1.0, 1.0)},
    crop_mild={"recipe.global_scale": (0.5, 1.0)},
    crop_strong={"recipe.global_scale": (0.05, 0.5)},
    mask_50={"objective.mask_ratio": 0.5},
    mask_60={"objective.mask_ratio": 0.6},
    mask_85={"objective.mask_ratio": 0.85},
    colour={"recipe.jitter.p": 0.8},
    brightness_contrast={"recipe.jitter.p": 0.8, "recipe.jitter.saturation": 0.0, "recipe.jitter.hue": 0.0},
    gray={"recipe.grayscale": 0.5},
    blur={"recipe.blur.p": 0.5},
    no_flip={"recipe.flip": 0.0},
)
arms = {name: _fixed("mae", **options) for name, options in _constructions.items()}
