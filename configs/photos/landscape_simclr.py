"""Which fixed recipe of SimCLR is best on photographs? Twelve, from one start, equally many steps, no designer.

Command:  python tools/compare.py configs/photos/landscape_simclr.py --jobs 2
Expected: not yet measured
"""

from mmengine.config import read_base

with read_base():
    from .._base_.photos_comparison import *

title = "The landscape of SimCLR's constructions on photographs"
work_dir = "runs/photos_landscape_simclr"
start = dict(config="simclr_start.py", label="start (simclr)")
continues = "run"
probes = "configs/probes/photos_selection.py"
baseline, candidate = "default", "no_colour"
budget = dict(baseline_steps=200, clock="processor")

_whole = {"recipe.global_scale": (1.0, 1.0), "recipe.ratio": (1.0, 1.0)}
_still = dict(brightness=0.0, contrast=0.0, saturation=0.0, hue=0.0, p=0.8)
_strong = dict(brightness=0.8, contrast=0.8, saturation=0.8, hue=0.2, p=0.8)
_mild = dict(brightness=0.4, contrast=0.4, saturation=0.2, hue=0.05, p=0.8)
_light = dict(brightness=0.4, contrast=0.4, saturation=0.0, hue=0.0, p=0.8)
_colour = dict(brightness=0.0, contrast=0.0, saturation=0.4, hue=0.1, p=0.8)
arms = dict(
    none=dict(like="crop", cfg_options=_whole),
    crop=dict(like="default", cfg_options={"recipe.jitter": _still, "recipe.grayscale": 0.0, "recipe.blur.p": 0.0}),
    brightness_contrast=dict(like="none", cfg_options={"recipe.jitter": _light}),
    saturation_hue=dict(like="none", cfg_options={"recipe.jitter": _colour}),
    gray=dict(like="none", cfg_options={"recipe.grayscale": 0.2}),
    blur=dict(like="none", cfg_options={"recipe.blur.p": 0.5}),
    default=dict(
        config="simclr_fixed.py",
        cfg_options={
            "recipe.global_scale": (0.2, 1.0),
            "recipe.ratio": (3 / 4, 4 / 3),
            "recipe.jitter": dict(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, p=0.8),
            "recipe.grayscale": 0.2,
            "recipe.blur.p": 0.5,
        },
    ),
    strong=dict(like="default", cfg_options={"recipe.global_scale": (0.08, 1.0), "recipe.jitter": _strong}),
    no_crop=dict(like="default", cfg_options=_whole),
    no_gray=dict(like="default", cfg_options={"recipe.grayscale": 0.0}),
    no_colour=dict(like="no_gray", cfg_options={"recipe.jitter": _light}),
    mild=dict(like="no_gray", cfg_options={"recipe.global_scale": (0.5, 1.0), "recipe.jitter": _mild}),
)
