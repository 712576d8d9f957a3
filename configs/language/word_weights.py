"""next_token.py with a learned weight for every word of the vocabulary, steered by answers.

Command:  python tools/train.py configs/language/word_weights.py --cfg-options backbone.checkpoint=START
Expected: docs/language.md
"""

from mmengine.config import read_base

with read_base():
    from .._base_.language_feedback import *
    from .next_token import *

from vssl.language import WordWeights

designer = dict(type=WordWeights, words=160)
designer_optimizer.update(lr=0.1)
