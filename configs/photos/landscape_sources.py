"""Is there room in which photographs MAE sees? Four folders alike, and nine tenths of each; no designer, one start.

Command:  python tools/compare.py configs/photos/landscape_sources.py --jobs 2
Expected: docs/photos.md
"""

from mmengine.config import read_base

with read_base():
    from .._base_.photos_sources import *

title = "Which folder of photographs is good for NYUv2?"
work_dir = "runs/photos_landscape_sources"
start = dict(config="mae_start.py", label="start (mae)", cfg_options=_stream)
probes = "configs/probes/photos_selection.py"
seeds = [10]
baseline, candidate = "alike", "nyuv2"
arms = dict(
    alike=dict(config="mae_sources.py", cfg_options=_fixed, label="all folders alike"),
    **{
        name: dict(like="alike", cfg_options={"unlabeled.shares": {**_alike, name: 27.0}}, label=f"nine tenths {name}")
        for name in _alike
    },
)
