"""simclr_fixed.py with a search over strengths by value alone, steered by segmentation and depth feedback.

Command:  python tools/train.py configs/scenes/simclr_search.py --cfg-options backbone.checkpoint=START
          (START: backbone.safetensors of configs/scenes/simclr_start.py)
Expected: docs/benchmark.md
"""

from mmengine.config import read_base

with read_base():
    from .._base_.scenes_feedback import *
    from .simclr_fixed import *

from vssl.designers import CandidateSearch

designer = dict(
    type=CandidateSearch,
    learn=("area", "saturation", "hue", "grayscale"),
    learning_rate=1.0,
)
value.update(period=2)  # eight candidates cost as much as eight SSL steps
designer_optimizer = None
