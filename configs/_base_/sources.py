"""What the comparisons of sources share (configs/scenes/selection_sources.py, verdict_sources.py)."""

from torch.optim import AdamW

from vssl.designers import Identity, SourceWeights

configs = "configs/scenes"
continues = "run"
correction = None
budget = dict(baseline_steps=940, clock="processor")
cfg_options = {"threads": 1, "checkpoint_interval": 1_000_000}
_alike = dict(scenes=1.0, colours=1.0, rooms=1.0)
_own = dict(scenes=18.0, colours=1.0, rooms=1.0)
_fixed = {"designer": dict(type=Identity), "feedback": None, "value": None}
# Weights of the folders by the credit of their images at one step, as the paper values a step; the stream follows them.
_credit = {
    "designer": dict(type=SourceWeights, sources=_alike, bound=10.0, resample=True),
    "designer_optimizer": dict(type=AdamW, lr=0.1, weight_decay=0.0),
    "value.horizon": 0,
    "value.batch_size": 48,
    "value.g_down_every": 15,
    "value.period": 1,
    "value.burn_in": 30,
    "value.freeze_after": 60,
    "backbone.aligned_blocks": 1,
}
