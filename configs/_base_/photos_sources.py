"""What comparisons of folders of photographs share (configs/photos/landscape_sources.py)."""

from vssl.designers import Identity

configs = "configs/photos"
continues = "run"
correction = None
budget = dict(baseline_steps=600, clock="processor")
cfg_options = {"threads": 1, "checkpoint_interval": 1_000_000}
_stream = {"unlabeled.root": "data/photos/stream"}
_alike = dict(nyuv2=1.0, tiny_imagenet=1.0, camvid=1.0, kitchen=1.0)
_fixed = {"designer": dict(type=Identity), "feedback": None, "value": None}
