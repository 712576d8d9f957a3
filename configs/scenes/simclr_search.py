"""simclr_fixed.py with a search over strengths by value alone, steered by segmentation and depth feedback.

Command:  python tools/train.py configs/scenes/simclr_search.py --cfg-options backbone.checkpoint=START
          (START: backbone.safetensors of configs/scenes/mae_start.py)
Expected: docs/benchmark.md
"""

from mmengine.config import read_base

with read_base():
    from .._base_.scenes_feedback import *
    from .simclr_fixed import *

from vssl.designers import CandidateSearch

value.update(burn_in=40)  # the steps in which the SSL head learns alone
designer = dict(type=CandidateSearch)
designer_optimizer = None
