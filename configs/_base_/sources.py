"""What the comparisons of sources share (configs/scenes/selection_sources.py, verdict_sources.py)."""

from vssl.designers import Identity

configs = "configs/scenes"
continues = "run"
correction = None
budget = dict(baseline_steps=940, clock="processor")
cfg_options = {"threads": 1, "checkpoint_interval": 1_000_000}
_own = dict(scenes=18.0, colours=1.0, rooms=1.0)
_fixed = {"designer": dict(type=Identity), "feedback": None, "value": None}
