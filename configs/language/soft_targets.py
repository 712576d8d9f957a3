"""next_token.py with targets that a designer spreads over the learner's favourites, steered by answers.

Command:  python tools/train.py configs/language/soft_targets.py --cfg-options backbone.checkpoint=START
Expected: docs/language.md
"""

from mmengine.config import read_base

with read_base():
    from .._base_.language_feedback import *
    from .next_token import *

from vssl.language import SoftTargets

designer = dict(type=SoftTargets, dim=64, candidates=8)
