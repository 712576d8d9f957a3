"""compare.py from an earlier start, which continuing still improves.

Every arm may train as long as 400 steps of next-token prediction take. Settings are those of compare.py.

Command:  python tools/prepare_data.py word_problems --largest 10 --steps 1 --distractors 0.8 --test 300
          python tools/train.py configs/language/start.py --cfg-options budget.steps=300 \
              --work-dir runs/start_early/seed0
          python tools/compare.py configs/language/compare_early.py
Expected: docs/language.md
"""

from mmengine.config import read_base

with read_base():
    from .compare import *

title = "Word problems: what to predict, from an earlier start"
work_dir = "runs/language_early"
start = dict(backbone="runs/start_early/seed0/backbone.safetensors", label="start")
budget = dict(baseline_steps=400, clock="processor")
