"""At 224 px: simclr_fixed.py with a search over strengths by value alone, steered by segmentation and depth feedback.

Command:  python tools/train.py configs/scenes224/simclr_search.py --cfg-options backbone.checkpoint=START
          (START: backbone.safetensors of configs/scenes224/simclr_start.py)
Expected: not run: no GPU at hand
"""

from mmengine.config import read_base

with read_base():
    from .._base_.scenes224_feedback import *
    from .simclr_fixed import *
    from ..scenes.simclr_search import designer, designer_optimizer  # isort: skip
