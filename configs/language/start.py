"""The start of the language study: next-token prediction on the stream, from fresh weights.

Command:  python tools/prepare_data.py word_problems --steps 3 --distractors 0.75 --test 300
          python tools/train.py configs/language/start.py
Expected: docs/language.md
"""

from mmengine.config import read_base

with read_base():
    from .._base_.language_data import *
    from .._base_.language_learner import *

optimizer.update(lr=2e-3)
budget = dict(steps=600)
