"""The start of the language study: next-token prediction on worked problems alone, from fresh weights.

It stops while the model solves some problems and not others. What continues it meets such problems among other text.

Command:  python tools/prepare_data.py word_problems --largest 10 --steps 1 --distractors 0.8 --test 300
          python tools/train.py configs/language/start.py
Expected: docs/language.md
"""

from mmengine.config import read_base

with read_base():
    from .._base_.language_data import *
    from .._base_.language_learner import *

unlabeled.update(root="data/word_problems/start.jsonl")
optimizer.update(lr=4e-3)
budget = dict(steps=600)
