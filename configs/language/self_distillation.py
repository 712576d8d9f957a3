"""Control: next_token.py with targets that are part the learner's own prediction.

Command:  python tools/train.py configs/language/self_distillation.py --cfg-options backbone.checkpoint=START
Expected: docs/language.md
"""

from mmengine.config import read_base

with read_base():
    from .next_token import *

from vssl.language import SelfDistillation

designer = dict(type=SelfDistillation, candidates=8, mass=0.1)
