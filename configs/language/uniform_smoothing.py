"""Control: next_token.py with a fixed mass spread evenly over the learner's favourites.

Command:  python tools/train.py configs/language/uniform_smoothing.py --cfg-options backbone.checkpoint=START
Expected: docs/language.md
"""

from mmengine.config import read_base

with read_base():
    from .next_token import *

from vssl.language import UniformSmoothing

designer = dict(type=UniformSmoothing, candidates=8, mass=0.1)
