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
start = dict(config="mae_start.py", label="start (MAE)")
probes = "configs/probes/scenes.py"
baseline, candidate = "default", "mask_75"
seeds = [0, 1]
correction = None
budget = dict(steps=470)
_colour = dict(brightness=0.0, contrast=0.0, saturation=0.4, hue=0.1, p=0.8)
_whole = {"recipe.global_scale": (1.0, 1.0), "recipe.ratio": (1.0, 1.0)}
arms = dict(
    default=dict(config="mae_start.py", continues="run"),
    mask_30=dict(like="default", cfg_options={"objective.mask_ratio": 0.3}),
    mask_45=dict(like="default", cfg_options={"objective.mask_ratio": 0.45}),
    mask_75=dict(like="default", cfg_options={"objective.mask_ratio": 0.75}),
    mask_85=dict(like="default", cfg_options={"objective.mask_ratio": 0.85}),
    mask_90=dict(like="default", cfg_options={"objective.mask_ratio": 0.9}),
    no_crop=dict(like="default", cfg_options=_whole),
    crop_mild=dict(like="default", cfg_options={"recipe.global_scale": (0.7, 1.0)}),
    crop_strong=dict(like="default", cfg_options={"recipe.global_scale": (0.1, 1.0)}),
    crop_small=dict(like="default", cfg_options={"recipe.global_scale": (0.1, 0.5)}),
    light=dict(like="default", cfg_options={"recipe.jitter": _light}),
    colour=dict(like="default", cfg_options={"recipe.jitter": _colour}),
    gray=dict(like="default", cfg_options={"recipe.grayscale": 0.5}),
    no_flip=dict(like="default", cfg_options={"recipe.flip": 0.0}),
    mask_75_no_crop=dict(like="mask_75", cfg_options=_whole),
    mask_75_crop_strong=dict(like="mask_75", cfg_options={"recipe.global_scale": (0.1, 1.0)}),
)
