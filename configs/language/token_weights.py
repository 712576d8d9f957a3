"""next_token.py with a learned weight for every token, steered by answers.

Command:  python tools/train.py configs/language/token_weights.py --cfg-options backbone.checkpoint=START
Expected: docs/language.md
"""

from mmengine.config import read_base

with read_base():
    from .._base_.language_feedback import *
    from .next_token import *

from vssl.language import TokenWeights

designer = dict(type=TokenWeights, dim=64, candidates=8)
