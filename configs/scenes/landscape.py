"""Which fixed construction is best? Thirteen recipes from one start, equally many steps, no designer.

Command:  python tools/prepare_data.py scenes --seed 1 --out data/benchmark
          python tools/compare.py configs/scenes/landscape.py --jobs 2
Expected: docs/benchmark.md, "The landscape"
"""

from mmengine.config import read_base

with read_base():
    from .._base_.benchmark import *

title = "The landscape of fixed constructions"
work_dir = "runs/landscape"
baseline, candidate = "default", "no_gray"
budget = dict(steps=200)
_full, _none = (1.0, 1.0), dict(b=0.0, c=0.0, s=0.0, h=0.0, gray=0.0, blur=0.0)
_constructions = dict(
    none=_fixed(_full, **_none),
    crop=_fixed(**_none),
    brightness_contrast=_fixed(_full, **{**_none, "b": 0.4, "c": 0.4}),
    saturation_hue=_fixed(_full, **{**_none, "s": 0.4, "h": 0.1}),
    gray=_fixed(_full, **{**_none, "gray": 0.2}),
    blur=_fixed(_full, **{**_none, "blur": 0.5}),
    default=_fixed(),
    strong=_fixed((0.08, 1.0), 0.8, 0.8, 0.8, 0.2),
    no_crop=_fixed(_full),
    no_gray=_fixed(gray=0.0),
    no_hue=_fixed(h=0.0),
    no_colour=_fixed(s=0.0, h=0.0, gray=0.0),
    hand=_fixed((0.5, 1.0), s=0.2, h=0.05, gray=0.0),
)
arms = {
    name: dict(config="configs/scenes/simclr_fixed.py", cfg_options=options) for name, options in _constructions.items()
}
