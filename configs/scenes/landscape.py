"""Which fixed construction is best? Twelve recipes from one start, equally many steps, no designer.

Command:  python tools/prepare_data.py scenes
          python tools/compare.py configs/scenes/landscape.py --jobs 2
Expected: docs/benchmark.md, "The landscape"
"""

from mmengine.config import read_base

with read_base():
    from .._base_.benchmark import *

title = "The landscape of fixed constructions"
work_dir = "runs/landscape"
probes = "configs/probes/scenes.py"
baseline, candidate = "default", "no_colour"
budget = dict(steps=200)

_whole = {"recipe.global_scale": (1.0, 1.0), "recipe.ratio": (1.0, 1.0)}
_still = dict(brightness=0.0, contrast=0.0, saturation=0.0, hue=0.0, p=0.8)
_strong = dict(brightness=0.8, contrast=0.8, saturation=0.8, hue=0.2, p=0.8)
_mild = dict(brightness=0.4, contrast=0.4, saturation=0.2, hue=0.05, p=0.8)
_colour = dict(brightness=0.0, contrast=0.0, saturation=0.4, hue=0.1, p=0.8)
arms = dict(
    none=dict(like="crop", cfg_options=_whole),
    crop=dict(like="default", cfg_options={"recipe.jitter": _still, "recipe.grayscale": 0.0, "recipe.blur.p": 0.0}),
    brightness_contrast=dict(like="none", cfg_options={"recipe.jitter": _light}),
    saturation_hue=dict(like="none", cfg_options={"recipe.jitter": _colour}),
    gray=dict(like="none", cfg_options={"recipe.grayscale": 0.2}),
    blur=dict(like="none", cfg_options={"recipe.blur.p": 0.5}),
    default=dict(config="simclr_fixed.py", cfg_options=_default),
    strong=dict(like="default", cfg_options={"recipe.global_scale": (0.08, 1.0), "recipe.jitter": _strong}),
    no_crop=dict(like="default", cfg_options=_whole),
    no_gray=dict(like="default", cfg_options={"recipe.grayscale": 0.0}),
    no_colour=dict(like="default", cfg_options=_no_colour),
    hand=dict(like="no_gray", cfg_options={"recipe.global_scale": (0.5, 1.0), "recipe.jitter": _mild}),
)
