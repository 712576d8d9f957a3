"""Which fixed recipe of SimCLR is best on photographs? Twelve, from one start, equally many steps, no designer.

Command:  python tools/compare.py configs/photos/landscape_simclr.py --jobs 2
Expected: not yet measured
"""

from mmengine.config import read_base

with read_base():
    from .._base_.photos_comparison import *

title = "The landscape of SimCLR's constructions on photographs"
work_dir = "runs/photos_landscape_simclr"
start = _start("simclr")
probes = "configs/probes/photos_selection.py"
baseline, candidate = "default", "no_colour"
budget = dict(baseline_steps=200, clock="processor")
_full, _none = (1.0, 1.0), dict(b=0.0, c=0.0, s=0.0, h=0.0, gray=0.0, blur=0.0)
_constructions = dict(
    none=_views(_full, **_none),
    crop=_views(**_none),
    brightness_contrast=_views(_full, **{**_none, "b": 0.4, "c": 0.4}),
    saturation_hue=_views(_full, **{**_none, "s": 0.4, "h": 0.1}),
    gray=_views(_full, **{**_none, "gray": 0.2}),
    blur=_views(_full, **{**_none, "blur": 0.5}),
    default=_views(),
    strong=_views((0.08, 1.0), 0.8, 0.8, 0.8, 0.2),
    no_crop=_views(_full),
    no_gray=_views(gray=0.0),
    no_colour=_views(s=0.0, h=0.0, gray=0.0),
    mild=_views((0.5, 1.0), s=0.2, h=0.05, gray=0.0),
)
arms = {name: _fixed("simclr", **options) for name, options in _constructions.items()}
