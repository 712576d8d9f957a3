"""Which fixed construction of MAE is best on photographs? Fourteen, from one start, equally long, no designer.

Command:  python tools/compare.py configs/photos/landscape_mae.py --jobs 2
Expected: docs/photos.md
"""

from mmengine.config import read_base

with read_base():
    from .._base_.photos_comparison import *

title = "The landscape of MAE's constructions on photographs"
work_dir = "runs/photos_landscape_mae"
start = dict(config="mae_start.py", label="start (mae)")
continues = "run"
probes = "configs/probes/photos_selection.py"
baseline, candidate = "default", "crop_mild"
budget = dict(baseline_steps=400, clock="processor")
_light = {"recipe.jitter.p": 0.8, "recipe.jitter.saturation": 0.0, "recipe.jitter.hue": 0.0}
arms = dict(
    default=dict(config="mae_fixed.py"),
    no_crop=dict(like="default", cfg_options={"recipe.global_scale": (1.0, 1.0), "recipe.ratio": (1.0, 1.0)}),
    crop_mild=dict(like="default", cfg_options={"recipe.global_scale": (0.5, 1.0)}),
    crop_strong=dict(like="default", cfg_options={"recipe.global_scale": (0.05, 0.5)}),
    rate_15=dict(like="default", cfg_options={"optimizer.lr": 1.5e-3}),
    rate_30=dict(like="default", cfg_options={"optimizer.lr": 3e-3}),
    mask_50=dict(like="default", cfg_options={"objective.mask_ratio": 0.5}),
    mask_60=dict(like="default", cfg_options={"objective.mask_ratio": 0.6}),
    mask_90=dict(like="default", cfg_options={"objective.mask_ratio": 0.9}),
    colour=dict(like="default", cfg_options={"recipe.jitter.p": 0.8}),
    brightness_contrast=dict(like="default", cfg_options=_light),
    gray=dict(like="default", cfg_options={"recipe.grayscale": 0.5}),
    blur=dict(like="default", cfg_options={"recipe.blur.p": 0.5}),
    no_flip=dict(like="default", cfg_options={"recipe.flip": 0.0}),
)
