"""Continued next-token prediction: the fixed recipe.

Command:  python tools/train.py configs/language/next_token.py --cfg-options backbone.checkpoint=START
          (START: backbone.safetensors of configs/language/start.py)
Expected: docs/language.md
"""

from mmengine.config import read_base

with read_base():
    from .._base_.language_data import *
    from .._base_.language_learner import *

budget = dict(steps=250)
