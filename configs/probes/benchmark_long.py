"""configs/probes/scenes.py on the scenes of the verdict at twice the budget (configs/scenes/verdict_long.py)."""

from mmengine.config import read_base

with read_base():
    from .benchmark import *

data_root = "data/benchmark_long"
_place(probes, data_root)
