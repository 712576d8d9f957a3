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
start = _start(_validation)
probes = "configs/probes/scenes.py"
baseline, candidate = "default", "no_colour"
budget = dict(steps=200)
_full, _none = (1.0, 1.0), dict(b=0.0, c=0.0, s=0.0, h=0.0, gray=0.0, blur=0.0)
_constructions = dict(
    none=_recipe(_full, **_none),
    crop=_recipe(**_none),
    brightness_contrast=_recipe(_full, **{**_none, "b": 0.4, "c": 0.4}),
    saturation_hue=_recipe(_full, **{**_none, "s": 0.4, "h": 0.1}),
    gray=_recipe(_full, **{**_none, "gray": 0.2}),
    blur=_recipe(_full, **{**_none, "blur": 0.5}),
    default=_recipe(),
    strong=_recipe((0.08, 1.0), 0.8, 0.8, 0.8, 0.2),
    no_crop=_recipe(_full),
    no_gray=_recipe(gray=0.0),
    no_colour=_recipe(s=0.0, h=0.0, gray=0.0),
    hand=_recipe((0.5, 1.0), s=0.2, h=0.05, gray=0.0),
)
arms = {
    name: dict(config="configs/scenes/simclr_fixed.py", cfg_options={**_stream(_validation), **options})
    for name, options in _constructions.items()
}
